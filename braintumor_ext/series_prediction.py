"""One prediction about a series of slices, from the predictions about each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.prediction import Prediction


@dataclass(frozen=True)
class SeriesPrediction:
    """What the slices of a series add up to, and how many of them say so."""

    label: str | None
    class_index: int | None
    # each class's name to its mean probability over the slices that the label rests on. A mean of slices, not the
    # probability that the series shows a tumour.
    probabilities: dict[str, float] | None
    slices: int
    failed: int
    class_counts: dict[str, int]  # each class's name to the number of slices of that class
    tumour_slices: int  # how many slices have a tumour's class and a mask that is not empty
    disagreeing: int  # how many slices have a tumour's class and an empty mask, or the other way round
    rests_on: tuple[int, ...]  # positions, in the predictions given, of the slices that the label rests on
    flags: dict[str, int]  # each flag of the slices with the number of slices that have it
    calibrated: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain values that JSON can hold."""
        return {**asdict(self), "rests_on": list(self.rests_on)}


def series_prediction(predictions: Sequence[Prediction], classes: Classes = CLASSES) -> SeriesPrediction:
    """Return the prediction about a series; the order of its slices does not matter.

    A slice shows a tumour where class and mask say so: its class is a tumour's and its mask is not empty. If any slice
    does, the series has the tumour class with the highest sum of probabilities over these slices; else it has the empty
    class, and rests on all slices. The more slices a series has, the more often a single wrong one turns this:
    the counts tell how many slices it rests on.

    Args:
        predictions: one for each slice; those with an error count as failed.
        classes: those that the predictions tell apart. Without an empty one, every class is a tumour's, and if all
            masks are empty, the prediction rests on all slices.
    """
    good = [(position, found) for position, found in enumerate(predictions) if found.probabilities is not None]
    failed = len(predictions) - len(good)
    if not good:
        return SeriesPrediction(None, None, None, 0, failed, {}, 0, 0, (), {}, False)
    tumour = [pair for pair in good if pair[1].label != classes.empty and _has_mask(pair[1])]
    rests_on = tumour or good
    # Exact sums: the order of the slices must not decide, not even by rounding.
    sums = {name: math.fsum((found.probabilities or {})[name] for _, found in rests_on) for name in classes}
    if not tumour and classes.empty is not None:
        label = classes.empty
    else:
        label = max(classes.tumours, key=lambda name: sums[name])
    counts = Counter(found.label for _, found in good)
    disagreeing = 0
    if classes.empty is not None:
        disagreeing = sum((found.label != classes.empty) != _has_mask(found) for _, found in good)
    flags = Counter(flag for _, found in good for flag in found.flags)
    return SeriesPrediction(
        label=label,
        class_index=classes.index(label),
        probabilities={name: sums[name] / len(rests_on) for name in classes},
        slices=len(good),
        failed=failed,
        class_counts={name: counts[name] for name in classes},
        tumour_slices=len(tumour),
        disagreeing=disagreeing,
        rests_on=tuple(position for position, _ in rests_on),
        flags=dict(sorted(flags.items())),
        calibrated=all(found.calibrated for _, found in good),
    )


def _has_mask(prediction: Prediction) -> bool:
    return prediction.mask is not None and bool(prediction.mask.any())
