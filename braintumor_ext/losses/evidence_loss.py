"""How much of the evidence for the true class lies outside the tumour."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 4.0
"""Of the softplus: at 0 it gives 0.17 and half of the slope."""


def evidence_outside(evidence: Tensor, classes: Tensor, label: Tensor) -> Tensor:
    """Return the share of the true class's positive evidence outside the mask, in [0, 1], a mean over slices.

    A network that is right for the right reasons finds the tumour's class in the tumour (Ross et al. 2017,
    https://arxiv.org/abs/1703.03717; Li et al. 2018, https://arxiv.org/abs/1802.10171). A cell of the evidence is
    inside by its share of tumour pixels over the largest share of any cell, so that even a tumour smaller than a cell
    has one that is wholly inside, and a cell that it merely touches counts little. Slices without tumour, with an
    unknown mask or of an unknown class count as nothing; without any other the value is 0.

    Evidence is taken as positive by a softplus, and a logit unit of it counts as outside whatever there is: without
    both, a network makes the share small by having no positive evidence at all, and its Grad-CAM is empty.

    Args:
        evidence: (B, K, h, w), as :meth:`~braintumor_ext.networks.ClassificationHead.evidence` gives it.
        classes: (B,) indices, -1 where unknown.
        label: (B, 1, H, W) in {0, 1}, -1 where unknown.
    """
    covered = F.adaptive_avg_pool2d(label.to(evidence.dtype), (evidence.shape[2], evidence.shape[3]))
    largest = covered.amax((1, 2, 3), keepdim=True)
    counts = ((classes >= 0) & (covered.flatten(1).amin(1) >= 0) & (largest.flatten() > 0)).to(evidence.dtype)
    inside = covered / torch.where(largest > 0, largest, 1)
    index = classes.clamp(min=0).view(-1, 1, 1, 1).expand(-1, 1, *evidence.shape[2:])
    # A cell's share of the logit times the number of cells: the same unit at every size.
    positive = F.softplus(evidence.gather(1, index) * evidence[0, 0].numel(), beta=SHARPNESS)
    share = ((positive * (1 - inside)).sum((1, 2, 3)) + 1) / (positive.sum((1, 2, 3)) + 1)
    return (share * counts).sum() / counts.sum().clamp(min=1)
