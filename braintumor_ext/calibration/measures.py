"""How good a calibration is, also on slices that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold

from braintumor_ext.calibration.constants import confidence_threshold, fit_temperature, scaled_probabilities
from braintumor_ext.calibration.ood_detector import FeatureDetector
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.calibration import brier_scores, expected_calibration_error, negative_log_likelihoods

FOLDS = 5


@dataclass(frozen=True)
class LabelledOutputs:
    """The network's outputs for N slices, before anything is made of them, and what is known of these."""

    logits: np.ndarray  # (N, K) of the classes
    classes: np.ndarray  # (N,) true class indices, -1 where unknown
    groups: Sequence[str | None]  # N, None where unknown
    features: np.ndarray | None = None  # (N, F); None of a network without features

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


@dataclass(frozen=True)
class Judged:
    """What a calibration says of N slices."""

    probabilities: np.ndarray  # (N, K) with its temperature
    low_confidence: np.ndarray  # (N,) whether flagged
    unusual: np.ndarray | None  # (N,) whether flagged; None without a detector


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
    seen = None if detector is None or outputs.features is None else detector.is_unusual(outputs.features)
    return Judged(probabilities, probabilities.max(1) < threshold, seen)


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
    for _, held in GroupKFold(parts).split(named, groups=named):
        inside = np.isin(np.arange(len(outputs)), held)
        others = outputs.take(~inside)
        if not others.known.any():
            return None
        fitted = None if detector is None or others.features is None else detector.refitted(others.features)
        judged = judge(outputs.take(inside), *fit_constants(others, target), fitted)
        probabilities[inside], low[inside] = judged.probabilities, judged.low_confidence
        unusual[inside] = judged.unusual if judged.unusual is not None else False
    return Judged(probabilities, low, None if detector is None or outputs.features is None else unusual)


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
