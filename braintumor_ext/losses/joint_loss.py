"""The joint loss: cross entropy for the class, Dice and binary cross entropy for the mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from torch import Tensor, nn

from braintumor_ext.keys import CLASS, LABEL, MASK


class JointLoss(nn.Module):
    """``alpha * cross entropy + (1 - alpha) * (dice_weight * Dice + (1 - dice_weight) * BCE)``.

    Dice is taken over all known masks of the batch together (batch Dice) and smoothed, so that a slice without tumour
    costs next to nothing when little is predicted on it. A slice with an unknown mask takes part in the class alone,
    one with an unknown class in the mask alone; where nothing is known, that part is 0 (and still differentiable).

    Args:
        alpha: weight of the classification, in [0, 1].
        label_smoothing: label smoothing of the cross entropy, in [0, 1).
        dice_weight: share of Dice in the segmentation's loss, in [0, 1].
        smooth: added to Dice's numerator and denominator, in pixels.

    Raises:
        ValueError: when a weight lies outside its range.
    """

    def __init__(
        self, alpha: float = 0.7, label_smoothing: float = 0.1, dice_weight: float = 0.5, smooth: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1 or not 0 <= dice_weight <= 1:
            raise ValueError(f"alpha and dice_weight must lie in [0, 1], got {alpha} and {dice_weight}.")
        self.alpha = alpha
        self.label_smoothing = label_smoothing
        self.mask_loss = DiceCELoss(
            sigmoid=True,
            batch=True,
            smooth_nr=smooth,
            smooth_dr=smooth,
            lambda_dice=dice_weight,
            lambda_ce=1 - dice_weight,
        )

    def class_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the smoothed cross entropy of logits (B, K) over the known classes of ``target`` (B,)."""
        known = target >= 0
        if not bool(known.any()):
            return logits.sum() * 0.0
        return F.cross_entropy(logits[known], target[known], label_smoothing=self.label_smoothing)

    def segmentation_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return Dice and BCE of logits (B, 1, H, W) over the known masks of ``target`` (B, 1, H, W)."""
        known = target.flatten(1).amin(dim=1) >= 0
        if not bool(known.any()):
            return logits.sum() * 0.0
        return self.mask_loss(logits[known], target[known].to(logits.dtype))

    def forward(self, prediction: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        """Return the loss, a scalar; of a network without a mask head the class's loss alone, unweighted.

        Args:
            prediction: the network's output, ``{"class": (B, K), "mask": (B, 1, H, W)}`` logits; perhaps no ``mask``.
            target: ``{"class": (B,) indices, "label": (B, 1, H, W) in {0, 1}}``, -1 where unknown.
        """
        with torch.autocast(prediction[CLASS].device.type, enabled=False):  # sums over pixels overflow half precision
            class_loss = self.class_loss(prediction[CLASS].float(), target[CLASS])
            if MASK not in prediction:
                return class_loss
            mask_loss = self.segmentation_loss(prediction[MASK].float(), target[LABEL])
        return self.alpha * class_loss + (1 - self.alpha) * mask_loss
