"""The prediction about one slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

NOT_CALIBRATED = "not calibrated"
"""What a picture says of probabilities as the network gives them."""


@dataclass(frozen=True)
class Prediction:
    """What a slice shows, where, and why; arrays are on the slice's own grid, as a person sees it.

    Args:
        source: the slice's file, or a name for an array in memory.
        label: the name of the most probable class; None where the slice could not be predicted.
        class_index: its index; None where there is no label.
        probabilities: each class's name to its probability; they sum to 1.
        mask: (H, W) bool, tumour; the network's, whatever the class.
        heat_map: (H, W) float32 in [0, 1], what the prediction rests on; None without an explanation.
        flags: what to be careful about, such as ``low confidence``.
        calibrated: whether the probabilities are calibrated.
        error: why there is no prediction; None where there is one.
        image: (H, W) float32 in [0, 1], the slice in grey, a very large one shrunk by whole factors; None where it was
            not kept.
    """

    source: str
    label: str | None = None
    class_index: int | None = None
    probabilities: dict[str, float] | None = None
    mask: np.ndarray | None = None
    heat_map: np.ndarray | None = None
    flags: tuple[str, ...] = ()
    calibrated: bool = False
    error: str | None = None
    image: np.ndarray | None = None

    @property
    def confidence(self) -> float | None:
        """The highest probability, in [0, 1]; None where the slice could not be predicted."""
        return max(self.probabilities.values()) if self.probabilities else None

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain values that JSON can hold; of the arrays, the size and the mask's area."""
        return {
            "source": self.source,
            "label": self.label,
            "class_index": self.class_index,
            "probabilities": self.probabilities,
            "calibrated": self.calibrated,
            "flags": list(self.flags),
            "error": self.error,
            "size": None if self.mask is None else list(self.mask.shape),
            "area_px": None if self.mask is None else int(self.mask.sum()),
        }
