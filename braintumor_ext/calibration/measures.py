"""How good a calibration is, also on slices that it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold

from braintumor_ext.calibration.constants import confidence_threshold, fit_temperature
from braintumor_ext.calibration.labelled_outputs import LabelledOutputs
from braintumor_ext.calibration.ood_detector import FeatureDetector
from braintumor_ext.metrics.calibration import brier_scores, expected_calibration_error, negative_log_likelihoods

FOLDS = 5


@dataclass(frozen=True)
class Judged:
    """What a calibration says of N slices.

    Args:
        probabilities: (N, K) with its temperature.
        low_confidence: (N,) whether flagged.
        unusual: (N,) whether flagged; None without a detector.
    """

    probabilities: np.ndarray
    low_confidence: np.ndarray
    unusual: np.ndarray | None


def fit_constants(outputs: LabelledOutputs, target: float) -> tuple[float, float]:
    """Return temperature and confidence threshold for the share of right predictions wanted, ``target``.

    Raises:
        ValueError: no class is known.
    """
    known = outputs.take(outputs.known)
    temperature = fit_temperature(known.logits, known.classes)
    probabilities = known.probabilities(temperature)
    return temperature, confidence_threshold(probabilities.max(1), probabilities.argmax(1) == known.classes, target)


def judge(outputs: LabelledOutputs, temperature: float, threshold: float, detector: FeatureDetector | None) -> Judged:
    """Return what a temperature, a confidence threshold and a detector (None without one) say of predictions."""
    probabilities = outputs.probabilities(temperature)
    unusual = None
    if detector is not None and outputs.features is not None:
        unusual = detector.is_unusual(outputs.features)
    return Judged(probabilities, probabilities.max(1) < threshold, unusual)


def cross_fit(outputs: LabelledOutputs, target: float, detector: FeatureDetector | None) -> Judged | None:
    """Judge each slice by constants that were fitted to the slices of other groups, dealt into five parts.

    The detector's means and deviations come from the training's slices; only its reach and threshold are chosen here.
    None where there are too few groups, or a part leaves no slice of known class to fit to.
    """
    named = [f"group {group}" if group is not None else f"slice {i}" for i, group in enumerate(outputs.groups)]
    parts = min(FOLDS, len(set(named)))
    if parts < 2:
        return None
    probabilities = np.full(outputs.logits.shape, np.nan)
    low, unusual = np.zeros(len(outputs), dtype=bool), np.zeros(len(outputs), dtype=bool)
    has_features = detector is not None and outputs.features is not None
    for _, held in GroupKFold(parts).split(named, groups=named):
        inside = np.isin(np.arange(len(outputs)), held)
        others, own = outputs.take(~inside), outputs.take(inside)
        if not others.known.any():
            return None
        fitted = None
        if detector is not None and others.features is not None:
            fitted = detector.refitted(others.features)
        judged = judge(own, *fit_constants(others, target), fitted)
        probabilities[inside], low[inside] = judged.probabilities, judged.low_confidence
        if judged.unusual is not None:
            unusual[inside] = judged.unusual
    return Judged(probabilities, low, unusual if has_features else None)


def probability_measures(classes: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return negative log-likelihood, calibration error and Brier score of (N,) classes and (N, K) probabilities."""
    return {
        "nll": float(negative_log_likelihoods(classes, probabilities).mean()),
        "ece": expected_calibration_error(classes, probabilities),
        "brier": float(brier_scores(classes, probabilities).mean()),
    }


def confidence_measures(classes: np.ndarray, judged: Judged) -> dict[str, Any]:
    """Return how many slices of (N,) known classes are flagged, and the accuracy on all, the flagged and the others.

    ``n``, ``flagged`` (counts); ``accuracy``, ``accuracy_flagged``, ``accuracy_others``, None of no slice.
    """
    correct, flagged = judged.probabilities.argmax(1) == classes, judged.low_confidence
    return {
        "n": len(classes),
        "flagged": int(flagged.sum()),
        "accuracy": _mean(correct),
        "accuracy_flagged": _mean(correct[flagged]),
        "accuracy_others": _mean(correct[~flagged]),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
