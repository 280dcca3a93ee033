"""The joint loss: cross entropy for the class, Dice and binary cross entropy for the mask, evidence outside of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor, nn

from braintumor_ext.keys import CLASS, EVIDENCE, LABEL, MASK, UNKNOWN

SHARPNESS = 4.0  # of the softplus: at 0 it gives 0.17 and half of the slope


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


class JointLoss(nn.Module):
    """``alpha * cross entropy + (1 - alpha) * (dice_weight * Dice + (1 - dice_weight) * BCE)``.

    Dice is taken over all known masks of the batch together (batch Dice) and smoothed, so that a slice without tumour
    costs next to nothing when little is predicted on it. A slice with an unknown mask takes part in the class alone,
    one with an unknown class in the mask alone; where nothing is known, that part is 0 (and still differentiable).
    What is unknown is multiplied by 0 rather than picked out: nothing here waits for the device.

    Where the network tells its class evidence, ``evidence_weight`` times the share of it that lies outside the tumour
    is added (:func:`~braintumor_ext.losses.evidence_outside`).

    Args:
        alpha: weight of the classification, in [0, 1].
        label_smoothing: label smoothing of the cross entropy, in [0, 1).
        dice_weight: share of Dice in the segmentation's loss, in [0, 1].
        smooth: added to Dice's numerator and denominator, in pixels; positive.
        evidence_weight: weight of the evidence outside the tumour, not negative; 0 for none.

    Raises:
        ValueError: when a weight or ``smooth`` lies outside its range.
    """

    def __init__(
        self,
        alpha: float = 0.7,
        label_smoothing: float = 0.1,
        dice_weight: float = 0.5,
        smooth: float = 1.0,
        evidence_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1 or not 0 <= dice_weight <= 1:
            raise ValueError(f"alpha and dice_weight must lie in [0, 1], got {alpha} and {dice_weight}.")
        if smooth <= 0:
            raise ValueError(f"smooth must be positive, got {smooth}.")
        if evidence_weight < 0:
            raise ValueError(f"evidence_weight must not be negative, got {evidence_weight}.")
        self.evidence_weight = evidence_weight
        self.alpha = alpha
        self.label_smoothing = label_smoothing
        self.dice_weight = dice_weight
        self.dice = DiceLoss(batch=True, smooth_nr=smooth, smooth_dr=smooth)

    def class_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the smoothed cross entropy of logits (B, K) over the known classes of ``target`` (B,)."""
        total = F.cross_entropy(
            logits,
            target.clamp(min=UNKNOWN),
            ignore_index=UNKNOWN,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total / (target >= 0).sum().clamp(min=1)

    def segmentation_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return Dice and BCE of logits (B, 1, H, W) over the known masks of ``target`` (B, 1, H, W)."""
        known = (target.flatten(1).amin(dim=1) >= 0).to(logits.dtype)[:, None, None, None]
        true = target * known
        dice = self.dice(torch.sigmoid(logits) * known, true)
        total = F.binary_cross_entropy_with_logits(logits, true, weight=known, reduction="sum")
        pixels = known.sum().clamp(min=1) * logits[0].numel()
        return self.dice_weight * dice + (1 - self.dice_weight) * total / pixels

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Return the loss, a scalar; of a network without a mask head the class's loss alone, unweighted.

        Args:
            prediction: the network's output, ``{"class": (B, K), "mask": (B, 1, H, W)}`` logits, perhaps no ``mask``;
                in a training perhaps ``evidence`` (B, K, h, w).
            target: ``{"class": (B,) indices, "label": (B, 1, H, W) in {0, 1}}``, -1 where unknown.
        """
        with torch.autocast(prediction[CLASS].device.type, enabled=False):  # sums over pixels overflow half precision
            class_loss = self.class_loss(prediction[CLASS].float(), target[CLASS])
            if MASK not in prediction:
                return class_loss
            mask_loss = self.segmentation_loss(prediction[MASK].float(), target[LABEL])
            loss = self.alpha * class_loss + (1 - self.alpha) * mask_loss
            if self.evidence_weight and EVIDENCE in prediction:
                loss = loss + self.evidence_weight * evidence_outside(
                    prediction[EVIDENCE].float(), target[CLASS], target[LABEL]
                )
        return loss
