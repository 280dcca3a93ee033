"""What the network says of a set of slices, before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braintumor_ext.calibration.constants import scaled_probabilities
from braintumor_ext.keys import UNKNOWN


@dataclass(frozen=True)
class LabelledOutputs:
    """The network's outputs for N slices and what is known of these.

    Args:
        logits: (N, K) class logits.
        classes: (N,) true class indices, -1 where unknown.
        groups: N groups, None where unknown.
        features: (N, F) of the network; None for a network without features.
    """

    logits: np.ndarray
    classes: np.ndarray
    groups: Sequence[str | None]
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def known(self) -> np.ndarray:
        """(N,) whether the class is known."""
        return self.classes != UNKNOWN

    def take(self, chosen: np.ndarray) -> LabelledOutputs:
        """Return those that are chosen, (N,) bool."""
        features = None if self.features is None else self.features[chosen]
        groups = [group for group, wanted in zip(self.groups, chosen, strict=True) if wanted]
        return LabelledOutputs(self.logits[chosen], self.classes[chosen], groups, features)

    def probabilities(self, temperature: float = 1.0) -> np.ndarray:
        """Return (N, K) class probabilities softmax(logits / T), T > 0."""
        return scaled_probabilities(self.logits, temperature)
