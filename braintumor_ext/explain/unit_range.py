"""Maps in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

_FLAT = 1e-6
"""Differences below this share of the largest value are rounding, not a map."""


def to_unit_range(maps: Tensor) -> Tensor:
    """Scale each map, (B, 1, H, W), so that its least value is 0 and its largest 1; one that is constant becomes 0.

    monai 1.6.1's ``default_normalizer`` turns maps upside down: its largest value becomes 0.
    """
    values = torch.nan_to_num(maps.float())
    low, high = values.amin(dim=(1, 2, 3), keepdim=True), values.amax(dim=(1, 2, 3), keepdim=True)
    spread = high - low
    flat = spread <= _FLAT * torch.maximum(low.abs(), high.abs())
    return torch.where(flat, 0.0, (values - low) / torch.where(flat, 1.0, spread)).clamp(0, 1)
