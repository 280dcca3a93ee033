"""How far predictions in bfloat16 are from those in float32, and whether that is near enough to use them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_dice
from torch import Tensor

from braintumor_ext.calibration.constants import scaled_probabilities

LEAST_SAME_CLASS, LARGEST_DIFFERENCE, LEAST_DICE = 0.995, 0.01, 0.99
"""What another precision may change: the share of slices of the same class, any class probability, the masks' mean
Dice."""


@dataclass(frozen=True)
class PrecisionAgreement:
    """The difference that a precision makes over N slices."""

    n: int  # slices compared
    class_agreement: float  # share of them, in [0, 1], with the same class
    # the largest absolute difference of a class probability, with the calibration's temperature
    probability_difference: float
    # mean Dice of the two masks of a slice, in [0, 1], over the slices where one of them is not empty; None where there
    # is no such slice
    mask_dice: float | None

    @property
    def holds(self) -> bool:
        """Whether the predictions may be given in that precision."""
        return (
            self.n > 0
            and self.class_agreement >= LEAST_SAME_CLASS
            and self.probability_difference <= LARGEST_DIFFERENCE
            and (self.mask_dice is None or self.mask_dice > LEAST_DICE)
        )

    def __str__(self) -> str:
        dice = "no masks" if self.mask_dice is None else f"a mean Dice of the masks of {self.mask_dice:.4f}"
        return (
            f"{self.class_agreement:.1%} of {self.n} slices with the same class, probabilities at most "
            f"{self.probability_difference:.4f} apart, {dice}"
        )

    @classmethod
    def of(cls, logits: np.ndarray, others: np.ndarray, dice: np.ndarray, temperature: float) -> PrecisionAgreement:
        """Return the agreement of class logits (N, K) in two precisions, N > 0, with the calibration's temperature.

        ``dice`` is that of :func:`mask_overlaps`, (N,); (0,) of a network without masks.
        """
        ours, theirs = (scaled_probabilities(values, temperature) for values in (logits, others))
        overlaps = dice[~np.isnan(dice)]
        return cls(
            n=len(logits),
            class_agreement=float((ours.argmax(1) == theirs.argmax(1)).mean()),
            probability_difference=float(np.abs(ours - theirs).max()),
            mask_dice=float(overlaps.mean()) if len(overlaps) else None,
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PrecisionAgreement:
        """Return the agreement whose ``vars`` are given.

        Raises:
            ValueError: an entry is absent or is no number.
        """
        values = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        if len(values) < len(cls.__dataclass_fields__):
            raise ValueError(f"bfloat16 lacks {', '.join(sorted(set(cls.__dataclass_fields__) - set(values)))}")
        for name, value in values.items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number and not (name == "mask_dice" and value is None):
                raise ValueError(f"bfloat16's {name} is {value!r}")
        return cls(**values)


def mask_overlaps(logits: Tensor, others: Tensor) -> np.ndarray:
    """Return each slice's Dice of masks in two precisions, (B, 1, h, w) logits: (B,), NaN where both are empty."""
    one, other = (values > 0 for values in (logits, others))
    dice = compute_dice(one.float(), other.float(), ignore_empty=False)[:, 0]
    return dice.masked_fill(~(one | other).flatten(1).any(1), torch.nan).double().cpu().numpy()
