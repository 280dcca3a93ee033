"""How well one heat map points at one mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

TOLERANCE = 15  # pixels by which the pointing game's maximum may miss the mask, as in its paper

THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Where a map may be cut: 0.05 to 0.95."""

_TIE = 1e-6  # values nearer to the maximum than this are maxima: interpolation rounds


class MapScores(NamedTuple):
    """A map against a mask, all in [0, 1]."""

    pointing: float  # the pointing game: the share of the map's maxima that lie in the mask
    pointing_tolerant: float  # the same within the tolerance
    # the share of the map's sum that lies in the mask; of a map that is the same everywhere it is the share of the
    # slice that the mask covers
    energy_share: float
    iou: float  # intersection over union of the mask and the map above its threshold


def score_map(heat: np.ndarray, mask: np.ndarray, threshold: float = 0.5, tolerance: float = TOLERANCE) -> MapScores:
    """Score a map against a mask on one grid.

    An empty map points nowhere: it has no hit, no energy in the mask, and IoU 0.

    Args:
        heat: (H, W) map in [0, 1].
        mask: (H, W) true mask, bool, not empty.
        tolerance: of the second pointing game, in pixels.

    Raises:
        ValueError: the two differ in shape, the mask is empty, or the map has values that are not in [0, 1].
    """
    heat, mask = np.asarray(heat), np.asarray(mask, dtype=bool)
    if heat.shape != mask.shape or heat.ndim != 2:
        raise ValueError(f"a map and a mask of one shape (H, W) are needed, got {heat.shape} and {mask.shape}.")
    if not mask.any():
        raise ValueError("the mask is empty: there is nothing that a map could point at.")
    if not (np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1):
        raise ValueError("the map has values that are not in [0, 1]: scale it first.")
    strict, tolerant = pointing_game(heat, mask, (0, tolerance))
    return MapScores(strict, tolerant, energy_share(heat, mask), ious(heat, mask, [threshold])[0])


def pointing_game(heat: np.ndarray, mask: np.ndarray, tolerances: Sequence[float] = (0, TOLERANCE)) -> list[float]:
    """Play the pointing game (Zhang et al. 2018, https://arxiv.org/abs/1608.00507, section 4.1): is the maximum a hit?

    A maximum hits if its Euclidean distance to the mask's nearest pixel is at most the tolerance. Several equal maxima
    count by the share of them that hit: what a maximum drawn among them hits on average. A map of one value misses.

    Args:
        heat: (H, W) map, as ``mask`` is (H, W) bool, not empty.
        tolerances: in pixels; 0 for the mask itself. Each has a share in [0, 1].
    """
    highest = heat.max()
    if highest - heat.min() <= _TIE:
        return [0.0] * len(tolerances)
    distances = distance_transform_edt(~mask)[heat >= highest - _TIE]
    return [float((distances <= tolerance).mean()) for tolerance in tolerances]


def energy_share(heat: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of a map's sum, (H, W), not negative, inside the mask: the energy-based pointing game.

    Wang et al. 2020, Score-CAM, https://arxiv.org/abs/1910.01279, section 4.3; 0 for an empty map.
    """
    total = heat.sum(dtype=float)
    return float(heat[mask].sum(dtype=float) / total) if total > 0 else 0.0


def ious(heat: np.ndarray, mask: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> list[float]:
    """Return the intersection over union of a mask, (H, W) bool, not empty, and the map cut at each threshold."""
    cut = [heat > threshold for threshold in thresholds]
    return [float((marked & mask).sum() / (marked | mask).sum()) for marked in cut]


def best_threshold(values: np.ndarray, thresholds: Sequence[float] = THRESHOLDS) -> tuple[float, float]:
    """Return the threshold of the highest mean of (N, T) IoU, the lowest of several equal ones, and that mean."""
    means = np.asarray(values, dtype=float).mean(axis=0)
    return float(thresholds[int(means.argmax())]), float(means.max())
