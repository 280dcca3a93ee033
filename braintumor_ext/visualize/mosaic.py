"""Many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from PIL import Image


def tile_pictures(
    paths: Sequence[str | PathLike[str]], path: str | PathLike[str], columns: int = 3, width: int = 480
) -> None:
    """Write a PNG with pictures in rows, each scaled to one width; a row is as high as its highest picture.

    Args:
        paths: the pictures, in reading order.
        path: the PNG file.
        columns: pictures in a row.
        width: width of each picture in pixels.

    Raises:
        ValueError: when there are no pictures.
    """
    if not paths:
        raise ValueError("there are no pictures to tile.")
    pictures: list[Image.Image] = []
    for source in paths:
        with Image.open(source) as picture:
            height = max(round(picture.height * width / picture.width), 1)
            pictures.append(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new("RGB", (columns * width, sum(heights)), "white")
    for index, row in enumerate(rows):
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * width, sum(heights[:index])))
    sheet.save(path)
