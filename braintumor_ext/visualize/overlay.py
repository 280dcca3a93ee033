"""A picture of one slice, the outline of its tumour and the class probabilities.

Drawn with Pillow: a matplotlib figure takes several times as long, and there is one picture for each slice of a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, binary_erosion

from braintumor_ext.data.classes import display_name
from braintumor_ext.visualize.colours import OKABE_ITO

PANEL = 384
"""Longest side of each of the two pictures, in pixels of the drawing."""

MARGIN, HEADER, FOOTER, BARS_WIDTH, BAR_PITCH = 12, 40, 30, 230, 48
LEAST_WIDTH, LEAST_HEIGHT = 420, 4 * BAR_PITCH
BACKGROUND, INK, FAINT = "#FFFFFF", "#1A1A1A", "#D9D9D9"
PREDICTED, TRUE = OKABE_ITO[0], OKABE_ITO[5]
DASH = 5


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
) -> None:
    """Write a PNG: the slice, the slice with the tumour's outline, and a bar for each class's probability.

    Row 0 stays on top and column 0 at the left. The predicted outline is a solid line, the true one is dashed.

    Args:
        image: (H, W) grey values in [0, 1]; what lies outside is clipped.
        mask: (H, W) predicted mask, bool.
        path: the PNG file.
        title: a line above, usually the file's name; cut in its middle if it is too long.
        probabilities: class name to probability in [0, 1]; None for no bars.
        true_mask: (H, W) true mask, bool; None where it is unknown or not to be shown.
        note: a line below, such as a flag.

    Raises:
        ValueError: a mask's shape is not the image's.
    """
    for other in (mask, true_mask):
        if other is not None and other.shape != image.shape:
            raise ValueError(f"the mask's shape {other.shape} is not the image's {image.shape}")
    plain = _enlarge(image)
    width, height = plain.size
    bars_width = BARS_WIDTH if probabilities else 0
    canvas_width = 3 * MARGIN + 2 * width + (bars_width + MARGIN if bars_width else 0)
    canvas_size = (max(canvas_width, LEAST_WIDTH), HEADER + max(height, LEAST_HEIGHT) + FOOTER)
    canvas = Image.new("RGB", canvas_size, BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, 9), _shorten(title, 17, canvas.width - 2 * MARGIN), INK, _font(17))
    canvas.paste(plain, (MARGIN, HEADER))
    canvas.paste(_outlined(plain, mask, true_mask), (2 * MARGIN + width, HEADER))
    if probabilities:
        _draw_bars(
            draw, _Box(3 * MARGIN + 2 * width, HEADER, bars_width, canvas.height - HEADER - FOOTER), probabilities
        )
    _draw_footer(draw, canvas.size, bool(mask.any()), true_mask, note)
    canvas.save(path, format="PNG", compress_level=4)


def _enlarge(image: np.ndarray) -> Image.Image:
    """Bring the longest side to the panel's, keeping the shape of the pixels' grid."""
    scale = PANEL / max(image.shape)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    grey = (np.nan_to_num(np.asarray(image, dtype=float)).clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR).convert("RGB")


def _outlined(plain: Image.Image, mask: np.ndarray, true_mask: np.ndarray | None) -> Image.Image:
    pixels = np.array(plain)
    dashes = (np.indices(pixels.shape[:2]).sum(0) // DASH) % 2 == 0
    if true_mask is not None:
        _paint(pixels, _outline(true_mask, plain.size) & dashes, TRUE)
    _paint(pixels, _outline(mask, plain.size), PREDICTED)
    return Image.fromarray(pixels)


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
