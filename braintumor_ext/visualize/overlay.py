"""A picture of one slice, the outline of its tumour, its heat map and the class probabilities.

Drawn with Pillow and NumPy: a matplotlib figure takes several times as long, and there is one picture for each slice of
a folder.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from braintumor_ext.classes import display_name
from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.plain_text import printable
from braintumor_ext.visualize.panels import DASH, PREDICTED, TRUE, draw_panels, heat_over

LEAST_SIDE = 256  # slices whose longest side is shorter are enlarged, by a whole factor, to at least this many pixels
ZOOM_SIDE = 640  # words and bars beside a slice of this side have their plain size; they grow with larger slices
MARGIN, HEADER, FOOTER, BARS_WIDTH, BAR_PITCH, SCALE_WIDTH = 12, 58, 30, 230, 48, 40
LEAST_WIDTH, LEAST_HEIGHT, LEAST_COLUMN = 420, 4 * BAR_PITCH, 80
BACKGROUND, INK, MUTED, FAINT = "#FFFFFF", "#1A1A1A", "#595959", "#D9D9D9"
BEST, OTHER = OKABE_ITO[1], "#8C8C8C"


def render_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    title: str = "",
    probabilities: Mapping[str, float] | None = None,
    true_mask: np.ndarray | None = None,
    note: str | None = None,
    heat_map: np.ndarray | None = None,
    probabilities_title: str = "",
) -> np.ndarray:
    """Draw the slice, the slice with the tumour's outline, the slice under its heat map, and a bar for each class.

    Row 0 stays on top and column 0 at the left. A pixel of the slice is a pixel of its panels; small slices are
    enlarged by a whole factor. The predicted outline is a solid line, the true one is dashed.

    Args:
        image: (H, W) grey values in [0, 1]; what lies outside is clipped.
        title: a line above, usually the file's name; cut in its middle if it is too long.
        probabilities: class name to probability in [0, 1]; None for no bars.
        true_mask: (H, W) true mask, bool; None where it is unknown or not to be shown.
        note: a line below, such as a flag.
        heat_map: (H, W) values in [0, 1] on the image's grid, what lies outside is clipped; None for no such panel.
        probabilities_title: a few words over the bars, such as ``not calibrated``.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: the shape of a mask or of the heat map is not the image's.
    """
    factor = -(-LEAST_SIDE // max(image.shape))
    full = image.shape[1] * factor, image.shape[0] * factor
    panels = draw_panels(image, mask, true_mask, heat_map, full)
    zoom = max(1, round(max(full) / ZOOM_SIDE))  # of all but the panels, which keep their pixels
    width, height = (-(-side // zoom) for side in full)
    pitch = max(width, LEAST_COLUMN) + MARGIN
    right = MARGIN + len(panels) * pitch + (0 if heat_map is None else SCALE_WIDTH)
    content = max(height, LEAST_HEIGHT)
    size = (max(right + (BARS_WIDTH if probabilities else 0), LEAST_WIDTH), HEADER + content + FOOTER)
    pixels = np.full((size[1] * zoom, size[0] * zoom, 3), 255, dtype=np.uint8)
    for position, panel in enumerate(panels):
        _paste(pixels, panel, (MARGIN + position * pitch) * zoom, HEADER * zoom)
    # Words are drawn on strips of their own: Pillow would copy all of a large canvas several times.
    head = _Pen(0, 0, size[0], HEADER, zoom)
    head.write(MARGIN, 8, title, 17, room=size[0] - 2 * MARGIN)
    for position, caption in enumerate(("slice", "outline", "heat map")[: len(panels)]):
        head.write(MARGIN + position * pitch, HEADER - 20, caption, 13, MUTED)
    if probabilities:
        head.write(right, HEADER - 20, probabilities_title, 13, MUTED, room=BARS_WIDTH - MARGIN)
    head.paste(pixels)
    foot = _Pen(0, size[1] - FOOTER, size[0], FOOTER, zoom)
    _draw_footer(foot, size, bool(mask.any()), true_mask, note)
    foot.paste(pixels)
    scale = MARGIN + (len(panels) - 1) * pitch + width + 6
    if heat_map is not None:
        _draw_scale(pixels, scale, HEADER, min(content, LEAST_SIDE), zoom)
    if probabilities:
        bars = _Pen(right, HEADER, size[0] - right, content, zoom)
        _draw_bars(bars, right, HEADER, content, probabilities)
        bars.paste(pixels)
    return pixels


def render_thumbnail(image: np.ndarray, mask: np.ndarray, heat_map: np.ndarray | None = None, side: int = 256) -> bytes:
    """Draw the panels of :func:`render_overlay` side by side, small and without words.

    Args:
        side: the longest side of each panel in pixels.

    Returns:
        The bytes of a JPEG file.
    """
    scale = side / max(image.shape)
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    panels = draw_panels(image, mask, None, heat_map, (width, height))
    gap = 2
    sheet = np.full((height, len(panels) * (width + gap) - gap, 3), 128, dtype=np.uint8)
    for position, panel in enumerate(panels):
        sheet[:, position * (width + gap) :][:, :width] = panel
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, format="JPEG", quality=80)
    return file.getvalue()


def _paste(pixels: np.ndarray, part: np.ndarray, left: int, top: int) -> None:
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part


def _draw_scale(pixels: np.ndarray, left: int, top: int, height: int, zoom: int) -> None:
    """Draw which colour is which heat, as it looks over tissue of a middling grey."""
    heat = np.repeat(np.linspace(255, 0, height * zoom).round().astype(np.uint8)[:, None], 12 * zoom, axis=1)
    _paste(pixels, heat_over(np.full_like(heat, 102), heat), left * zoom, top * zoom)
    words = _Pen(left + 12, top, SCALE_WIDTH - 6, height, zoom)
    for value, anchor in ((1.0, "lt"), (0.5, "lm"), (0.0, "lb")):
        words.write(left + 16, top + round((1 - value) * (height - 1)), f"{value:g}", 12, anchor=anchor)
    words.paste(pixels)


def _draw_bars(pen: _Pen, left: int, top: int, height: int, probabilities: Mapping[str, float]) -> None:
    """Draw the classes in their order, or, if there is no room for all, the most probable ones."""
    best = max(probabilities, key=lambda name: probabilities[name])
    shown, room = list(probabilities), height // BAR_PITCH
    if len(shown) > room:
        shown = sorted(shown, key=lambda name: -probabilities[name])[:room]
    right = left + BARS_WIDTH - MARGIN
    for index, name in enumerate(shown):
        line, value = top + index * BAR_PITCH, float(np.clip(probabilities[name], 0, 1))
        bold = name == best
        pen.write(left, line, display_name(name), 15, bold=bold, room=BARS_WIDTH - 62)
        pen.write(right, line, f"{probabilities[name]:.1%}", 15, bold=bold, anchor="ra")
        pen.box(left, line + 22, right, line + 35, FAINT)
        if value > 0:
            pen.box(left, line + 22, left + max(round(value * (right - left)), 1), line + 35, BEST if bold else OTHER)


def _draw_footer(pen: _Pen, size: tuple[int, int], found: bool, true_mask: np.ndarray | None, note: str | None) -> None:
    """Name the outlines' colours, and put the note behind them."""
    left, top = MARGIN, size[1] - FOOTER + 6
    entries = [("predicted outline" if found else "no pixel predicted", PREDICTED, False)]
    if true_mask is not None:
        entries.append(("true outline" if true_mask.any() else "true: no tumour", TRUE, True))
    for text, colour, dashed in entries:
        for start in range(left, left + 26, 2 * DASH if dashed else 26):
            pen.box(start, top + 7, start + (DASH if dashed else 26), top + 12, colour, outline=INK)
        pen.write(left + 32, top, text, 14)
        left += 32 + round(pen.length(text, 14)) + 18
    if note:
        pen.write(left, top, note, 14, room=size[0] - MARGIN - left)


class _Pen:
    """Writes words and draws boxes on a strip of a picture; places and sizes are in units of ``zoom`` pixels."""

    def __init__(self, left: int, top: int, width: int, height: int, zoom: int) -> None:
        self.left, self.top, self.zoom = left, top, zoom
        self.canvas = Image.new("RGB", (width * zoom, height * zoom), BACKGROUND)
        self.draw = ImageDraw.Draw(self.canvas)

    def paste(self, pixels: np.ndarray) -> None:
        """Put the strip in its place."""
        _paste(pixels, np.asarray(self.canvas), self.left * self.zoom, self.top * self.zoom)

    def write(
        self,
        left: int,
        top: int,
        text: str,
        size: int,
        colour: str = INK,
        bold: bool = False,
        anchor: str = "la",
        room: int | None = None,
    ) -> None:
        """Write a text in one line; one that needs more than ``room`` is cut in its middle."""
        shown = printable(text)
        if room is not None:
            shown = self._shortened(shown, size, room, bold)
        font = _font(size * self.zoom, bold, shown.isascii())
        place = (left - self.left) * self.zoom, (top - self.top) * self.zoom
        self.draw.text(place, shown, colour, font, anchor)

    def length(self, text: str, size: int, bold: bool = False) -> float:
        """Return how long a printable text is."""
        return _font(size * self.zoom, bold, text.isascii()).getlength(text) / self.zoom

    def box(self, left: int, top: int, right: int, bottom: int, colour: str, outline: str | None = None) -> None:
        """Fill a box; its right and bottom lie outside of it."""
        start = (left - self.left) * self.zoom, (top - self.top) * self.zoom
        end = (right - self.left) * self.zoom - 1, (bottom - self.top) * self.zoom - 1
        self.draw.rectangle((start, end), colour, outline, width=self.zoom)

    def _shortened(self, text: str, size: int, room: int, bold: bool) -> str:
        """Cut a text's middle until it fits: the end of a path tells more than its middle."""
        if self.length(text, size, bold) <= room:
            return text

        def cut(kept: int) -> str:
            return text[: kept // 3] + "…" + text[len(text) - (kept - kept // 3) :]

        fitting = bisect_right(range(len(text)), room, key=lambda kept: ceil(self.length(cut(kept), size, bold)))
        return cut(max(fitting - 1, 0))


@lru_cache
def _font(size: int, bold: bool, plain: bool) -> ImageFont.FreeTypeFont:
    """Return matplotlib's own font, which is there on every machine and knows most scripts' letters.

    ``plain``: for letters that need no shaping, which makes up half the time of writing a word.
    """
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC if plain else None)
