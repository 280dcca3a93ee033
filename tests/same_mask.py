"""Masks of one network from two processes."""

from __future__ import annotations

import numpy as np


def assert_same_mask(got: np.ndarray, expected: np.ndarray) -> None:
    """Assert that two masks of one shape are the same but for a pixel on the threshold, one in 10,000 at most.

    Arithmetic differs in its last bits with the batch's size, the number of threads and the processor; a pixel whose
    probability lies there may round to either side.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    different = np.argwhere(got != expected)
    assert len(different) <= max(1, expected.size // 10_000), f"{len(different)} pixels, {different[:5].tolist()} first"
