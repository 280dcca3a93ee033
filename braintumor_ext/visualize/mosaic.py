"""Many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image


def tile_pictures(pictures: Iterable[Image.Image], columns: int = 3, width: int = 480) -> Image.Image:
    """Return pictures in rows, each scaled to one width; a row is as high as its highest picture.

    Args:
        width: width of each picture in pixels.

    Raises:
        ValueError: when there are no pictures.
    """
    tiles: list[Image.Image] = []
    for picture in pictures:
        height = max(round(picture.height * width / picture.width), 1)
        tiles.append(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
    if not tiles:
        raise ValueError("there are no pictures to tile.")
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    sheet = Image.new("RGB", (columns * width, sum(heights)), "white")
    for index, row in enumerate(rows):
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * width, sum(heights[:index])))
    return sheet
