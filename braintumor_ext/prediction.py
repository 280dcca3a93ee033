"""The prediction about one slice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braintumor_ext.errors import InputError

NOT_CALIBRATED = "not calibrated"  # what a picture says of probabilities as the network gives them


@dataclass(frozen=True)
class Prediction:
    """What a slice shows, where, and why; arrays are on the slice's own grid, as a person sees it."""

    source: str  # the slice's file, or a name for an array in memory
    label: str | None = None  # the name of the most probable class; None where the slice could not be predicted
    class_index: int | None = None
    probabilities: dict[str, float] | None = None  # each class's name to its probability; they sum to 1
    # (H, W) bool, tumour; the network's, whatever the class. None of a network without masks.
    mask: np.ndarray | None = None
    # (H, W) float32 in [0, 1], what the prediction rests on; None without an explanation
    heat_map: np.ndarray | None = None
    flags: tuple[str, ...] = ()  # what to be careful about, such as ``low confidence``
    calibrated: bool = False
    error: str | None = None
    # (H, W) in [0, 1], the slice in grey: float32, or float16 of a large one, and a very large one shrunk by whole
    # factors; None where it was not kept
    image: np.ndarray | None = None
    logits: np.ndarray | None = None  # (K,) float64, the network's own, which no calibration has changed
    features: np.ndarray | None = None  # (F,) what an unusual input is told by; None of a network without them
    # the slice's place in its file (see `braintumor_ext.transforms.SliceGrid.metadata`)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def confidence(self) -> float | None:
        """The highest probability, in [0, 1]; None where the slice could not be predicted."""
        return max(self.probabilities.values()) if self.probabilities else None

    def checked(self) -> Prediction:
        """Return the prediction.

        Raises:
            InputError: the slice could not be predicted.
        """
        if self.error is not None:
            problem, _, remedy = self.error.rstrip(".").partition(". ")
            raise InputError(self.source, problem, remedy or "Open it in a viewer")
        return self

    @property
    def spacing(self) -> tuple[float, float] | None:
        """(row, column) in mm; None where it is not known."""
        row_mm, column_mm = (float(side) for side in self.meta.get("spacing", (math.nan, math.nan)))
        return (row_mm, column_mm) if math.isfinite(row_mm * column_mm) else None

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
