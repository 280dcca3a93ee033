"""How well one predicted tumour mask agrees with the true one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou

HAUSDORFF_PERCENTILE = 95


class MaskScores(NamedTuple):
    """Agreement of two masks: Dice and IoU in [0, 1], 95% Hausdorff distance in ``unit``; NaN where undefined."""

    dice: float
    iou: float
    hd95: float
    unit: str


def score_mask(pred: np.ndarray, true: np.ndarray, spacing: tuple[float, float] | None = None) -> MaskScores:
    """Compare a predicted mask with the true one, in the grid that both are given in.

    Two empty masks have no Dice and no IoU (NaN): finding nothing where nothing is counts among the slices without
    tumour, not as a perfect outline. A mask against an empty one has Dice and IoU 0. The distance needs two masks that
    are not empty; it is the larger of the two directed 95th percentiles between the masks' edges (Huttenlocher et al.
    1993, https://doi.org/10.1109/34.232073, with the percentile in place of the maximum).

    Args:
        pred, true: (H, W) bool.
        spacing: size of a pixel along (rows, columns) in mm; None, or a value that is not finite, where it is unknown.

    Raises:
        ValueError: the masks differ in shape or are not two-dimensional.
    """
    pred, true = np.asarray(pred, dtype=bool), np.asarray(true, dtype=bool)
    if pred.shape != true.shape or pred.ndim != 2:
        raise ValueError(f"two masks of one shape (H, W) are needed, got {pred.shape} and {true.shape}")
    pixel = None if spacing is None or not np.isfinite(spacing).all() else [float(side) for side in spacing]
    dice = iou = hd95 = float("nan")
    one, other = _tensor(pred), _tensor(true)
    if pred.any() or true.any():
        dice = float(compute_dice(one, other, ignore_empty=False))
        iou = float(compute_iou(one, other, ignore_empty=False))
    if pred.any() and true.any():
        percentile = HAUSDORFF_PERCENTILE
        hd95 = float(
            compute_hausdorff_distance(one, other, include_background=True, percentile=percentile, spacing=pixel)
        )
    return MaskScores(dice, iou, hd95, "px" if pixel is None else "mm")


def _tensor(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None]
