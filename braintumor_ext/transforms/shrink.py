"""Very large slices, made smaller by whole factors as they are read."""

from __future__ import annotations

import numpy as np

SHRUNK_ABOVE = 2**22
"""Slices of more pixels are shrunk; smaller ones are read as they are."""

LEAST_SIDE = 1024
"""A side is never shrunk below this: the network's is a fraction of it."""


def whole_factors(height: int, width: int) -> tuple[int, int]:
    """Return by how much the rows and columns of a slice are shrunk: powers of 2, and 1 where it is not large."""
    if height * width <= SHRUNK_ABOVE:
        return 1, 1
    return _factor(height), _factor(width)


def _factor(side: int) -> int:
    return 2 ** max((side // LEAST_SIDE).bit_length() - 1, 0)


def shrunk_size(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns that a slice has once it is shrunk; a last block that is not whole counts as one."""
    down, across = whole_factors(height, width)
    return -(-height // down), -(-width // across)


def shrunk(pixels: np.ndarray, factors: tuple[int, int], labels: bool = False) -> np.ndarray:
    """Return slices (..., H, W) in which each block of pixels has become one, (..., rows, columns).

    That is the block's mean, as float32; of labels, which have no mean, its middle pixel. ``factors`` are the rows and
    columns of a block; those at the lower and the right edge may be smaller.
    """
    down, across = factors
    height, width = pixels.shape[-2:]
    tops, lefts = np.arange(0, height, down), np.arange(0, width, across)
    if labels:
        rows, columns = np.minimum(tops + down // 2, height - 1), np.minimum(lefts + across // 2, width - 1)
        return np.ascontiguousarray(pixels[..., rows[:, None], columns])
    means = np.empty((*pixels.shape[:-2], len(tops), len(lefts)), dtype=np.float32)
    across_counts = np.diff(lefts, append=width)
    for row, top in enumerate(tops):  # a row of blocks at a time: NumPy copies what it sums up in another type
        block = np.ascontiguousarray(pixels[..., top : top + down, :]).sum(axis=-2, dtype=np.float64)
        count = min(down, height - top)
        means[..., row, :] = np.add.reduceat(block, lefts, axis=-1) / (count * across_counts)
    return means


def nearest(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a slice, (H, W), in another size, each pixel taken from its place: for a mask over a shrunk slice."""
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.int64) for new, old in zip(size, pixels.shape, strict=True)
    )
    return pixels[rows[:, None], columns]
