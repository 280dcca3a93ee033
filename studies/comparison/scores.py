"""What a run's predictions are worth: accuracy, macro F1 and Dice, and the arrays that they are made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.classification import confusion_matrix, rates
from braintumor_ext.metrics.records import SliceRecord


def run_scores(records: Sequence[SliceRecord], num_classes: int) -> dict[str, float]:
    """Return ``accuracy``, ``macro_f1`` and ``dice`` (mean over tumour slices) of predictions; NaN where undefined.

    Args:
        records: a run's predictions.
        num_classes: K.
    """
    true, predicted, dice = true_classes(records), predicted_classes(records), tumour_dice(records)
    known, scored = true != UNKNOWN, ~np.isnan(dice)
    found = rates(confusion_matrix(true[known], predicted[known], num_classes))
    return {
        **{name: float(found[name]) for name in ("accuracy", "macro_f1")},
        "dice": float(dice[scored].mean()) if scored.any() else float("nan"),
    }


def true_classes(records: Sequence[SliceRecord]) -> np.ndarray:
    """Return (N,) class indices; -1 where unknown."""
    return np.array([record.true_class for record in records], dtype=int)


def predicted_classes(records: Sequence[SliceRecord]) -> np.ndarray:
    """Return (N,) class indices."""
    return np.array([record.predicted_class for record in records], dtype=int)


def rightness(records: Sequence[SliceRecord]) -> np.ndarray:
    """Return (N,) 1 where the predicted class is right, 0 where it is wrong, NaN where the class is unknown."""
    true, predicted = true_classes(records), predicted_classes(records)
    return np.where(true == UNKNOWN, np.nan, true == predicted)


def tumour_dice(records: Sequence[SliceRecord]) -> np.ndarray:
    """Return (N,) Dice of the slices whose known mask holds tumour; NaN elsewhere, as in an evaluation's summary."""
    scored = [record.mask_known and record.mask_predicted and record.true_area_px > 0 for record in records]
    return np.where(scored, [record.dice for record in records], np.nan)
