"""How well classes are predicted: counts, rates and ROC areas, for one set of slices or many weighted ones at once."""

from __future__ import annotations

import numpy as np
import sklearn.metrics


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count slices, (N,) class indices each, by true class (rows) and predicted class (columns): (K, K)."""
    if len(true) == 0:
        return np.zeros((num_classes, num_classes), dtype=np.int64)
    return sklearn.metrics.confusion_matrix(true, predicted, labels=np.arange(num_classes))


def rates(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Return accuracy, precision, recall and F1 of one or many confusion matrices.

    As in scikit-learn, a precision or recall without a denominator is 0 and macro values are plain means over the
    classes that have at least one true or predicted sample; a class without either has no values (NaN).

    Args:
        confusion: (..., K, K) counts, true class by predicted class.

    Returns:
        ``accuracy``, ``macro_precision``, ``macro_recall``, ``macro_f1`` of shape (...), and ``precision``, ``recall``,
        ``f1``, ``one_versus_rest_accuracy`` of shape (..., K); NaN where undefined.
    """
    counts = np.asarray(confusion, dtype=float)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(-1), counts.sum(-2)
    total = counts.sum((-2, -1))
    present = (true + predicted) > 0
    per_class = {
        "precision": _ratio(hits, predicted, otherwise=0.0),
        "recall": _ratio(hits, true, otherwise=0.0),
        "f1": _ratio(2 * hits, true + predicted, otherwise=0.0),
    }
    per_class = {name: np.where(present, values, np.nan) for name, values in per_class.items()}
    errors = true + predicted - 2 * hits
    return {
        "accuracy": _ratio(hits.sum(-1), total),
        **{f"macro_{name}": mean_of_defined(values) for name, values in per_class.items()},
        **per_class,
        "one_versus_rest_accuracy": 1 - _ratio(errors, total[..., None]),
    }


def roc_auc(true: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the one-versus-rest area under the ROC curve of each class.

    The area is the share of (slice of the class, other slice) pairs that the probability ranks rightly, ties counting
    half (Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747), with each pair weighted by the
    product of its weights: so 2,000 bootstrap draws are one array operation.

    Args:
        true: (N,) class indices, as ``probabilities`` are (N, K).
        weights: (D, N) non-negative weights of the slices in each of D draws; None for one draw of equal weights.

    Returns:
        (K,), or (D, K) if weights are given; NaN where a class has no slice or no other class has one.
    """
    weighted = np.ones((1, len(true))) if weights is None else np.asarray(weights, dtype=float)
    areas = np.full((len(weighted), probabilities.shape[1]), np.nan)
    if len(true):
        for index in range(probabilities.shape[1]):
            areas[:, index] = _binary_auc(true == index, probabilities[:, index], weighted)
    return areas[0] if weights is None else areas


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of the values that are not NaN; NaN where there is none."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))


def _binary_auc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the (D,) areas of one class: a sum over the score's distinct levels, from the lowest."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    sorted_weights = weights[:, order]
    hits = np.add.reduceat(sorted_weights * positive[order], starts, axis=1)
    others = np.add.reduceat(sorted_weights * ~positive[order], starts, axis=1)
    below = np.cumsum(others, axis=1) - others
    return _ratio((hits * (below + others / 2)).sum(1), hits.sum(1) * others.sum(1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Divide, with ``otherwise`` where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator > 0)
