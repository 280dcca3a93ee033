"""A slice as pictures: plain, with the outline of its tumour, and under its heat map."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from monai.visualize import blend_images
from PIL import Image, ImageColor

from braintumor_ext.colours import OKABE_ITO

PREDICTED, TRUE, ON_HEAT = OKABE_ITO[0], OKABE_ITO[5], "#FFFFFF"
DASH = 5

HEAT_COLOURS, HEAT_OPACITY = "inferno", 0.65
"""The heat map's colours, and how opaque they are where it is 1; they fade to nothing where it is 0."""


class _Edge(NamedTuple):
    """The inner edge of a mask and the rim around it, both in the box of the picture that holds them."""

    box: tuple[slice, slice]
    line: np.ndarray
    rim: np.ndarray


def draw_panels(
    image: np.ndarray,
    mask: np.ndarray,
    true_mask: np.ndarray | None,
    heat_map: np.ndarray | None,
    size: tuple[int, int],
) -> list[np.ndarray]:
    """Draw the plain slice, the outlined one and, where there is a heat map, the heated one, in one size.

    Args:
        image: (H, W) as for :func:`~braintumor_ext.visualize.render_overlay`, like both masks and the heat map.
        size: (width, height) of each panel in pixels.

    Returns:
        (height, width, 3) uint8 each.

    Raises:
        ValueError: the shape of a mask or of the heat map is not the image's.
    """
    for name, other in (("mask", mask), ("mask", true_mask), ("heat map", heat_map)):
        if other is not None and other.shape != image.shape:
            raise ValueError(f"the {name}'s shape {other.shape} is not the image's {image.shape}")
    grey = _bytes(image, size)
    plain = np.repeat(grey[:, :, None], 3, axis=2)
    edge = _edge(mask, size)
    outlined = plain.copy()
    if true_mask is not None:
        _paint(outlined, _edge(true_mask, size, dashed=True), TRUE)
    _paint(outlined, edge, PREDICTED)
    panels = [plain, outlined]
    if heat_map is not None:
        heated = heat_over(grey, _bytes(heat_map, size))
        _paint(heated, edge, ON_HEAT)
        panels.append(heated)
    return panels


def heat_over(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay the colours of a heat map over grey values, both (H, W) uint8; return (H, W, 3) uint8."""
    return np.take(_blended(), heat.astype(np.uint16) << 8 | grey, axis=0)


@lru_cache(maxsize=1)
def _blended() -> np.ndarray:
    """Return the colour of each heat over each grey, (256 * 256, 3): looked up, not blended for each pixel."""
    heat, grey = np.meshgrid(*[np.linspace(0, 1, 256, dtype=np.float32)] * 2, indexing="ij")
    blended = blend_images(grey[None], heat[None], HEAT_OPACITY * heat[None], HEAT_COLOURS, rescale_arrays=False)
    return (np.asarray(blended).reshape(3, -1).T * 255).round().astype(np.uint8)


def _bytes(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring values, clipped to [0, 1], to a size (width, height) and to 0..255."""
    clipped = np.fmin(np.fmax(np.asarray(values, dtype=np.float32), 0), 1)  # NaN becomes 0
    if clipped.shape != size[::-1]:  # a reducing gap: boxes first, which is fast
        resized = Image.fromarray(clipped).resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
        clipped = np.asarray(resized).clip(0, 1)
    return np.rint(clipped * 255).astype(np.uint8)


def _edge(mask: np.ndarray, size: tuple[int, int], dashed: bool = False) -> _Edge | None:
    """Return the inner edge, two pixels wide, of a mask brought to a size (width, height); None of an empty one."""
    # A box with any of the mask in it is of the mask: nearest neighbour would lose specks of a large slice.
    drawn = Image.fromarray(np.asarray(mask, dtype=np.uint8) * 255).resize(size, Image.Resampling.BOX)
    found = drawn.getbbox()
    if found is None:
        return None
    left, top, right, bottom = found
    # Outside the picture counts as outside the tumour: a mask that touches the rim keeps a closed outline.
    grown = np.pad(np.asarray(drawn)[top:bottom, left:right] > 0, 1)
    line = grown & ~_and_neighbours(_and_neighbours(grown, np.logical_and), np.logical_and)
    if dashed:
        rows, columns = np.ogrid[top - 1 : bottom + 1, left - 1 : right + 1]
        line &= (rows + columns) // DASH % 2 == 0
    rim = _and_neighbours(line, np.logical_or) & ~line
    inside = np.s_[max(1 - top, 0) : size[1] + 1 - top, max(1 - left, 0) : size[0] + 1 - left]
    box = np.s_[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1]
    return _Edge(box, line[inside], rim[inside])


def _and_neighbours(pixels: np.ndarray, join: np.ufunc) -> np.ndarray:
    """Join each pixel with the four beside it: a step of erosion by ``logical_and``, of dilation by ``logical_or``."""
    padded = np.pad(pixels, 1)
    return np.asarray(join.reduce([pixels, padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]))


def _paint(pixels: np.ndarray, edge: _Edge | None, colour: str) -> None:
    """Draw a line in place, with a dark rim that keeps it visible on bright tissue."""
    if edge is not None:
        part = pixels[edge.box]
        part[edge.rim] //= 3
        part[edge.line] = ImageColor.getrgb(colour)
