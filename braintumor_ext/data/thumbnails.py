"""The 48x48 grey thumbnails that near-duplicates and the nearest-neighbour baseline compare."""

from __future__ import annotations

import numpy as np
from PIL import Image

THUMBNAIL_SIZE = 48
"""Height and width of a thumbnail in pixels."""


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """Shrink a slice, (H, W) in [0, 1], to a thumbnail, (48, 48) uint8; its aspect ratio is not kept.

    Pillow's bilinear filter on 8-bit grey (it averages over the whole source area when it shrinks): the published
    baselines of the data set were measured so.
    """
    picture = Image.fromarray(np.rint(np.asarray(grey) * 255).astype(np.uint8))
    return np.asarray(picture.resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.BILINEAR))


def unit_vectors(thumbnails: np.ndarray) -> np.ndarray:
    """Remove the mean of thumbnails, (N, 48, 48), and scale to unit norm: dot products are Pearson correlations.

    Returns:
        (N, 2304) float32; zeros for a constant thumbnail, which then correlates with nothing.
    """
    rows = np.asarray(thumbnails, dtype=np.float32).reshape(len(thumbnails), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
