"""A picture of one slice, the outline of its tumour, its heat map and the class probabilities.

Drawn with Pillow: a matplotlib figure takes several times as long, and there is one picture for each slice of a folder.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from monai.visualize import blend_images
from PIL import Image, ImageColor, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, binary_erosion

from braintumor_ext.data.classes import display_name
from braintumor_ext.visualize.colours import OKABE_ITO

LEAST_SIDE = 256
"""Slices whose longest side is shorter are enlarged, by a whole factor, to at least this many pixels."""

ZOOM_SIDE = 640
"""Words and bars beside a slice of this side have their plain size; they grow with larger slices."""

MARGIN, HEADER, FOOTER, BARS_WIDTH, BAR_PITCH, SCALE_WIDTH = 12, 58, 30, 230, 48, 40
LEAST_WIDTH, LEAST_HEIGHT, LEAST_COLUMN = 420, 4 * BAR_PITCH, 80
BACKGROUND, INK, MUTED, FAINT = "#FFFFFF", "#1A1A1A", "#595959", "#D9D9D9"
PREDICTED, TRUE, ON_HEAT = OKABE_ITO[0], OKABE_ITO[5], "#FFFFFF"
DASH = 5

HEAT_COLOURS, HEAT_OPACITY = "inferno", 0.65
"""The heat map's colours, and how opaque they are where it is 1; they fade to nothing where it is 0."""


class _Box(NamedTuple):
    left: int
    top: int
    width: int
    height: int


def draw_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    path: str | PathLike[str],
    title: str = "",
    probabilities: Mapping[str, float] | None = None,
    true_mask: np.ndarray | None = None,
    note: str | None = None,
    heat_map: np.ndarray | None = None,
    probabilities_title: str = "",
) -> None:
    """Write what :func:`render_overlay` draws as a PNG.

    Args:
        image: as in :func:`render_overlay`, like all but the path.
        mask: (H, W) predicted mask, bool.
        path: the PNG file.
        title: a line above.
        probabilities: class name to probability in [0, 1]; None for no bars.
        true_mask: (H, W) true mask, bool; None for none.
        note: a line below.
        heat_map: (H, W) values in [0, 1]; None for no such panel.
        probabilities_title: a few words over the bars.

    Raises:
        ValueError: the shape of a mask or of the heat map is not the image's.
    """
    picture = render_overlay(image, mask, title, probabilities, true_mask, note, heat_map, probabilities_title)
    picture.save(path, format="PNG", compress_level=4)


def render_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    title: str = "",
    probabilities: Mapping[str, float] | None = None,
    true_mask: np.ndarray | None = None,
    note: str | None = None,
    heat_map: np.ndarray | None = None,
    probabilities_title: str = "",
) -> Image.Image:
    """Draw the slice, the slice with the tumour's outline, the slice under its heat map, and a bar for each class.

    Row 0 stays on top and column 0 at the left. A pixel of the slice is a pixel of its panels; small slices are
    enlarged by a whole factor. The predicted outline is a solid line, the true one is dashed.

    Args:
        image: (H, W) grey values in [0, 1]; what lies outside is clipped.
        mask: (H, W) predicted mask, bool.
        title: a line above, usually the file's name; cut in its middle if it is too long.
        probabilities: class name to probability in [0, 1]; None for no bars.
        true_mask: (H, W) true mask, bool; None where it is unknown or not to be shown.
        note: a line below, such as a flag.
        heat_map: (H, W) values in [0, 1] on the image's grid, what lies outside is clipped; None for no such panel.
        probabilities_title: a few words over the bars, such as ``not calibrated``.

    Returns:
        An RGB picture.

    Raises:
        ValueError: the shape of a mask or of the heat map is not the image's.
    """
    factor = -(-LEAST_SIDE // max(image.shape))
    full = image.shape[1] * factor, image.shape[0] * factor
    panels = _panels(image, mask, true_mask, heat_map, full)
    zoom = max(1, round(max(full) / ZOOM_SIDE))
    width, height = (-(-side // zoom) for side in full)
    pitch = max(width, LEAST_COLUMN) + MARGIN
    right = MARGIN + len(panels) * pitch + (0 if heat_map is None else SCALE_WIDTH)
    content = max(height, LEAST_HEIGHT)
    size = (max(right + (BARS_WIDTH if probabilities else 0), LEAST_WIDTH), HEADER + content + FOOTER)
    canvas = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, 8), _shorten(title, 17, size[0] - 2 * MARGIN), INK, _font(17))
    captions = ["slice", "outline", "heat map"]
    for position, caption in enumerate(captions[: len(panels)]):
        draw.text((MARGIN + position * pitch, HEADER - 20), caption, MUTED, _font(13))
    if heat_map is not None:
        strip = _Box(MARGIN + (len(panels) - 1) * pitch + width + 6, HEADER, 12, min(content, LEAST_SIDE))
        _draw_scale(canvas, strip)
    if probabilities:
        draw.text((right, HEADER - 20), _shorten(probabilities_title, 13, BARS_WIDTH - MARGIN), MUTED, _font(13))
        _draw_bars(draw, _Box(right, HEADER, BARS_WIDTH, content), probabilities)
    _draw_footer(draw, size, bool(mask.any()), true_mask, note)
    if zoom > 1:  # of all but the panels, which keep their pixels
        canvas = canvas.resize((size[0] * zoom, size[1] * zoom), Image.Resampling.LANCZOS)
    for position, panel in enumerate(panels):
        canvas.paste(panel, ((MARGIN + position * pitch) * zoom, HEADER * zoom))
    return canvas


def render_thumbnail(image: np.ndarray, mask: np.ndarray, heat_map: np.ndarray | None = None, side: int = 256) -> bytes:
    """Draw the panels of :func:`render_overlay` side by side, small and without words.

    Args:
        image: (H, W) grey values in [0, 1]; what lies outside is clipped.
        mask: (H, W) predicted mask, bool.
        heat_map: (H, W) values in [0, 1] on the image's grid; None for no such panel.
        side: the longest side of each panel in pixels.

    Returns:
        The bytes of a JPEG file.

    Raises:
        ValueError: the shape of the mask or of the heat map is not the image's.
    """
    scale = side / max(image.shape)
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    panels = _panels(image, mask, None, heat_map, (width, height))
    gap = 2
    sheet = Image.new("RGB", (len(panels) * (width + gap) - gap, height), "#808080")
    for position, panel in enumerate(panels):
        sheet.paste(panel, (position * (width + gap), 0))
    file = io.BytesIO()
    sheet.save(file, format="JPEG", quality=80)
    return file.getvalue()


def _panels(
    image: np.ndarray,
    mask: np.ndarray,
    true_mask: np.ndarray | None,
    heat_map: np.ndarray | None,
    size: tuple[int, int],
) -> list[Image.Image]:
    """Draw the plain slice, the outlined one and, where there is a heat map, the heated one, in one size."""
    for name, other in (("mask", mask), ("mask", true_mask), ("heat map", heat_map)):
        if other is not None and other.shape != image.shape:
            raise ValueError(f"the {name}'s shape {other.shape} is not the image's {image.shape}")
    grey = _resize(image, size)
    plain = np.stack([(grey * 255).round().astype(np.uint8)] * 3, -1)
    line = _outline(mask, size)
    outlined = plain.copy()
    if true_mask is not None:
        dashes = (np.indices(line.shape).sum(0) // DASH) % 2 == 0
        _paint(outlined, _outline(true_mask, size) & dashes, TRUE)
    _paint(outlined, line, PREDICTED)
    panels = [plain, outlined]
    if heat_map is not None:
        heated = _blend(grey, _resize(heat_map, size))
        _paint(heated, line, ON_HEAT)
        panels.append(heated)
    return [Image.fromarray(panel) for panel in panels]


def _resize(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring values, clipped to [0, 1], to a size (width, height)."""
    clipped = np.nan_to_num(np.asarray(values, dtype=np.float32)).clip(0, 1)
    return np.asarray(Image.fromarray(clipped).resize(size, Image.Resampling.BILINEAR)).clip(0, 1)


def _blend(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay the colours of a heat map, both (H, W) in [0, 1], over grey values; return (H, W, 3) bytes."""
    blended = blend_images(grey[None], heat[None], HEAT_OPACITY * heat[None], HEAT_COLOURS, rescale_arrays=False)
    return (np.moveaxis(np.asarray(blended), 0, -1) * 255).round().astype(np.uint8)


def _draw_scale(canvas: Image.Image, box: _Box) -> None:
    """Draw which colour is which heat, as it looks over tissue of a middling grey."""
    heat = np.repeat(np.linspace(1, 0, box.height, dtype=np.float32)[:, None], box.width, axis=1)
    canvas.paste(Image.fromarray(_blend(np.full_like(heat, 0.4), heat)), (box.left, box.top))
    draw = ImageDraw.Draw(canvas)
    for value, anchor in ((1.0, "lt"), (0.5, "lm"), (0.0, "lb")):
        level = box.top + round((1 - value) * (box.height - 1))
        draw.text((box.left + box.width + 4, level), f"{value:g}", INK, _font(12), anchor=anchor)


def _outline(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the inner edge, two pixels wide, of a mask brought to a size (width, height)."""
    # A box with any of the mask in it is of the mask: nearest neighbour would lose specks of a large slice.
    grown = np.array(Image.fromarray(np.asarray(mask, dtype=np.uint8) * 255).resize(size, Image.Resampling.BOX)) > 0
    # Outside the picture counts as outside the tumour: a mask that touches the rim keeps a closed outline.
    return grown & ~binary_erosion(grown, iterations=2, border_value=0)


def _paint(pixels: np.ndarray, line: np.ndarray, colour: str) -> None:
    """Draw a line in place, with a dark rim that keeps it visible on bright tissue."""
    pixels[binary_dilation(line) & ~line] //= 3
    pixels[line] = ImageColor.getrgb(colour)


def _draw_bars(draw: ImageDraw.ImageDraw, box: _Box, probabilities: Mapping[str, float]) -> None:
    """Draw the classes in their order, or, if there is no room for all, the most probable ones."""
    best = max(probabilities, key=lambda name: probabilities[name])
    shown, room = list(probabilities), box.height // BAR_PITCH
    if len(shown) > room:
        shown = sorted(shown, key=lambda name: -probabilities[name])[:room]
    for index, name in enumerate(shown):
        top, value = box.top + index * BAR_PITCH, float(np.clip(probabilities[name], 0, 1))
        font, number = _font(15, bold=name == best), f"{probabilities[name]:.1%}"
        draw.text((box.left, top), _shorten(display_name(name), 15, box.width - 62), INK, font)
        draw.text((box.left + box.width - MARGIN, top), number, INK, font, anchor="ra")
        right = box.left + box.width - MARGIN
        draw.rectangle((box.left, top + 22, right, top + 34), fill=FAINT)
        if value > 0:
            end = box.left + round(value * (right - box.left))
            draw.rectangle((box.left, top + 22, end, top + 34), fill=OKABE_ITO[1] if name == best else "#8C8C8C")


def _draw_footer(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], found: bool, true_mask: np.ndarray | None, note: str | None
) -> None:
    """Name the outlines' colours, and put the note behind them."""
    left, top = MARGIN, size[1] - FOOTER + 6
    entries = [("predicted outline" if found else "no pixel predicted", PREDICTED, False)]
    if true_mask is not None:
        entries.append(("true outline" if true_mask.any() else "true: no tumour", TRUE, True))
    for text, colour, dashed in entries:
        for start in range(left, left + 26, 2 * DASH if dashed else 26):
            draw.rectangle((start, top + 7, start + (DASH - 1 if dashed else 25), top + 11), fill=colour, outline=INK)
        draw.text((left + 32, top), text, INK, _font(14))
        left += 32 + round(_font(14).getlength(text)) + 18
    if note:
        draw.text((left, top), _shorten(note, 14, size[0] - MARGIN - left), INK, _font(14))


@lru_cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Matplotlib's own font, which is there on every machine and knows most scripts' letters."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _shorten(text: str, size: int, width: int) -> str:
    """Cut a text's middle until it fits: the end of a path tells more than its middle."""
    if _font(size).getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = kept // 3
        short = text[:head] + "…" + text[len(text) - (kept - head) :]
        if _font(size).getlength(short) <= width:
            return short
    return "…"
