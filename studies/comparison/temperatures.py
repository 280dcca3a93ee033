"""Temperatures of runs, whose predictions are stored as probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from braintumor_ext.calibration.constants import fit_temperature, scaled_probabilities
from braintumor_ext.metrics.records import SliceRecord

SMALLEST = float(np.finfo(np.float32).tiny)
"""What a probability of 0 counts as where its logarithm is needed: networks predict in single precision."""


def temperature_of(validation_records: Sequence[SliceRecord]) -> float:
    """Return the temperature that makes a model's probabilities on its validation slices likeliest (Guo et al. 2017).

    Args:
        validation_records: predictions on slices that the model was not trained on and is not judged by.

    Raises:
        ValueError: no slice's class is known.
    """
    return fit_temperature(_logits(validation_records), [record.true_class for record in validation_records])


def with_temperature(records: Sequence[SliceRecord], temperature: float) -> list[SliceRecord]:
    """Return the predictions with the probabilities softmax(log(p) / T); the predicted class stays.

    Args:
        records: a model's predictions.
        temperature: T > 0.
    """
    if not records:
        return []
    scaled = scaled_probabilities(_logits(records), temperature)
    return [replace(record, probabilities=tuple(p.tolist())) for record, p in zip(records, scaled, strict=True)]


def _logits(records: Sequence[SliceRecord]) -> np.ndarray:
    """Return (N, K) log-probabilities: logits up to a constant of each slice, which no softmax depends on."""
    probabilities = np.array([record.probabilities for record in records], dtype=float)
    return np.log(np.clip(probabilities, SMALLEST, None))
