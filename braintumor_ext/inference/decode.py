"""From the network's logits to an answer about each slice."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from braintumor_ext.keys import CLASS, MASK


def class_probabilities(output: Mapping[str, Tensor]) -> Tensor:
    """Return class probabilities (B, K) in float64 on the CPU, each row summing to 1."""
    return torch.softmax(output[CLASS].detach().double(), dim=1).cpu()


def mask_on_grid(output: Mapping[str, Tensor], index: int, height: int, width: int, threshold: float = 0.5) -> Tensor:
    """Return the mask of one slice of a batch on its own grid, (height, width) bool on the CPU.

    The probability is brought to the grid (bilinear), then cut: a mask cut first would have the network's coarse edge.

    Args:
        output: the network's output; its ``mask`` holds logits (B, 1, h, w).
        index: which slice of the batch.
        height: rows of the slice's own grid.
        width: columns of the slice's own grid.
        threshold: probability above which a pixel is tumour.
    """
    probability = torch.sigmoid(output[MASK][index : index + 1].detach().float())
    restored = F.interpolate(probability, size=(height, width), mode="bilinear", align_corners=False)
    return (restored[0, 0] > threshold).cpu()
