"""The small pictures of slices that are compared: thumbnails, and framed pictures without what surrounds the head."""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMBNAIL_SIZE = 48
"""Height and width of a thumbnail in pixels."""

FRAMED_SIZE = 64
"""Height and width of a framed picture in pixels."""

_CONTRAST = 0.1  # a row or column that varies less, as a share of the picture's range, shows nothing
_LEAST = 0.25  # of a side: a smaller box is no head


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """Shrink a slice, (H, W) in [0, 1], to a thumbnail, (48, 48) uint8; its aspect ratio is not kept.

    Pillow's bilinear filter on 8-bit grey (it averages over the whole source area when it shrinks): the published
    baselines of the data set were measured so.
    """
    return _shrunk(grey, THUMBNAIL_SIZE)


def unit_vectors(thumbnails: np.ndarray) -> np.ndarray:
    """Remove the mean of thumbnails, (N, 48, 48), and scale to unit norm: dot products are Pearson correlations.

    As (N, 2304) float32; a constant thumbnail becomes zeros, which correlate with nothing.
    """
    rows = np.asarray(thumbnails, dtype=np.float32).reshape(len(thumbnails), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def picture_frame(grey: np.ndarray) -> tuple[int, int, int, int]:
    """Return the box of what is seen in a picture: rows and columns at the edges that hardly vary are cut off.

    That takes off letter-box bars of any grey and the background round the head, in turns, as a bar at the side makes
    the rows vary. Of a picture (H, W) of any range the box is left, top, right, bottom in pixels, as Pillow counts; the
    whole picture where it would be very small.
    """
    values = np.asarray(grey, dtype=np.float32)
    low, high = np.percentile(values, (1, 99))
    least = _CONTRAST * float(high - low)
    box = [(0, values.shape[0]), (0, values.shape[1])]
    for axis in (0, 1, 0, 1):
        inside = values[slice(*box[0]), slice(*box[1])]
        seen = np.flatnonzero(inside.std(axis=1 - axis) > least)
        if len(seen):
            box[axis] = (box[axis][0] + int(seen[0]), box[axis][0] + int(seen[-1]) + 1)
    (top, bottom), (left, right) = box
    if bottom - top < _LEAST * values.shape[0] or right - left < _LEAST * values.shape[1]:
        return 0, 0, values.shape[1], values.shape[0]
    return left, top, right, bottom


def framed_picture(grey: np.ndarray) -> np.ndarray:
    """Cut a slice, (H, W) in [0, 1], to its frame and shrink it to (64, 64) uint8; its aspect ratio is not kept."""
    return _shrunk(grey, FRAMED_SIZE, picture_frame(grey))


def _shrunk(grey: np.ndarray, side: int, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    picture = Image.fromarray(np.rint(np.asarray(grey) * 255).astype(np.uint8))
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box))
