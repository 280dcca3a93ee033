"""From which confidence on a prediction is right often enough to stand without a warning."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

UNREACHABLE = 1.0
"""The threshold where no confidence reaches the target: all but complete certainty is flagged."""


def confidence_threshold(confidence: ArrayLike, correct: ArrayLike, target: float = 0.95) -> float:
    """Return the smallest confidence such that the slices at or above it are right at least ``target`` of the time.

    Selective classification by the softmax response: El-Yaniv and Wiener 2010,
    https://jmlr.org/papers/v11/el-yaniv10a.html; Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500. There is
    no bound for new slices in it: measure the share that is right on slices that the threshold was not chosen on.

    Args:
        confidence: (N,) highest class probabilities in [0, 1]; slices of the same confidence stand or fall together.
        correct: (N,) whether the predicted class is right.
        target: share in (0, 1].

    Returns:
        0 if all slices together reach the target; 1 if no threshold does: then everything below certainty is flagged.

    Raises:
        ValueError: shapes do not match, there is no slice, or the target is not in (0, 1].
    """
    sure, right = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=bool)
    if sure.ndim != 1 or sure.shape != right.shape or len(sure) == 0:
        raise ValueError(f"confidence and correct must be (N,) with N > 0, got {sure.shape} and {right.shape}.")
    if not 0 < target <= 1:
        raise ValueError(f"target must be in (0, 1], got {target}.")
    levels, position = np.unique(sure, return_inverse=True)
    hits = np.bincount(position, weights=right)[::-1].cumsum()[::-1]
    counts = np.bincount(position)[::-1].cumsum()[::-1]
    reached = np.flatnonzero(hits >= target * counts - 1e-9)  # 19 of 20 are 0.95, whatever the rounding
    if len(reached) == 0:
        return UNREACHABLE
    return 0.0 if reached[0] == 0 else float(levels[reached[0]])
