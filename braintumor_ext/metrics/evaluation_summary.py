"""All numbers of an evaluation, with their intervals, from the records of its slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.bootstrap import Estimate, GroupBootstrap
from braintumor_ext.metrics.calibration import (
    N_BINS,
    ReliabilityBins,
    brier_scores,
    negative_log_likelihoods,
    reliability_bins,
    reliability_contributions,
)
from braintumor_ext.metrics.classification import confusion_matrix, mean_of_defined, rates, roc_auc
from braintumor_ext.metrics.records import SliceRecord

PER_CLASS_RATES = ("precision", "recall", "f1", "one_versus_rest_accuracy")


def summarise_evaluation(
    records: Sequence[SliceRecord], classes: Classes, n_draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Return all numbers of an evaluation as JSON can hold them; None is an undefined one.

    A slice of unknown class is left out of classification and calibration, one of unknown mask out of segmentation.

    Raises:
        ValueError: there is no record.
        InputError: a record's probabilities are not K finite numbers.
    """
    _check(records, classes)
    # The order in which slices arrive depends on the number of processes; the draws must not.
    records = sorted(records, key=lambda record: (record.image, record.probabilities))
    bootstrap = GroupBootstrap([record.group for record in records], n_draws, seed)
    return {
        **classes.stored(),
        "slices": _counts(records, bootstrap),
        "bootstrap": bootstrap.stated(),
        **_classification(records, classes, bootstrap),
        "segmentation": {
            "tumour_slices": _tumour_slices(records, classes, bootstrap),
            "no_tumour_slices": _no_tumour_slices(records, classes, bootstrap),
        },
    }


def _check(records: Sequence[SliceRecord], classes: Classes) -> None:
    if not records:
        raise ValueError("no slice was evaluated: give a split that holds slices")
    for record in records:
        if len(record.probabilities) != len(classes) or not np.isfinite(record.probabilities).all():
            problem = f"its class probabilities {record.probabilities} are not {len(classes)} finite numbers"
            raise InputError(
                record.image,
                problem,
                "check that class_names are those of the training and that the checkpoint is of a finished training",
            )


def _counts(records: Sequence[SliceRecord], bootstrap: GroupBootstrap) -> dict[str, Any]:
    known = sum(record.true_class != UNKNOWN for record in records)
    masks = sum(record.mask_known for record in records)
    return {
        "total": len(records),
        "groups": bootstrap.n_groups,
        "class_known": known,
        "class_unknown": len(records) - known,
        "mask_known": masks,
        "mask_unknown": len(records) - masks,
        "flags": dict(sorted(Counter(flag for record in records for flag in record.flags).items())),
    }


def _classification(records: Sequence[SliceRecord], classes: Classes, bootstrap: GroupBootstrap) -> dict[str, Any]:
    """Classification and calibration: point estimates from the sums over all slices, draws from the drawn sums."""
    true = np.array([record.true_class for record in records])
    probabilities = np.array([record.probabilities for record in records], dtype=float)
    known, predicted = true != UNKNOWN, probabilities.argmax(1)
    counts = confusion_matrix(true[known], predicted[known], len(classes))
    points, draws = rates(counts), rates(bootstrap.confusions(true, predicted, len(classes)))
    weights = (chunk[:, known] for chunk in bootstrap.slice_weights())
    points["roc_auc"] = roc_auc(true[known], probabilities[known])
    draws["roc_auc"] = np.concatenate([roc_auc(true[known], probabilities[known], chunk) for chunk in weights])
    for values in (points, draws):
        values["macro_roc_auc"] = mean_of_defined(values["roc_auc"])
    overall = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_roc_auc")
    return {
        "classification": {
            "n": int(known.sum()),
            **{name: bootstrap.estimate(points[name], draws[name]) for name in overall},
        },
        "per_class": {
            class_name: {
                "support": int(counts[index].sum()),
                **{
                    name: bootstrap.estimate(points[name][index], draws[name][:, index])
                    for name in (*PER_CLASS_RATES, "roc_auc")
                },
            }
            for index, class_name in enumerate(classes)
        },
        "confusion_matrix": counts.tolist(),
        "calibration": _calibration(true, probabilities, bootstrap),
    }


def _calibration(true: np.ndarray, probabilities: np.ndarray, bootstrap: GroupBootstrap) -> dict[str, Any]:
    known = true != UNKNOWN

    def of_all(values: np.ndarray, otherwise: float) -> np.ndarray:
        """Return a value (N_known, ...) of the slices of known class as one of all slices (N, ...)."""
        whole = np.full((len(known), *values.shape[1:]), otherwise)
        whole[known] = values
        return whole

    each = reliability_contributions(true[known], probabilities[known])
    bins = reliability_bins(true[known], probabilities[known])
    sums = (bootstrap.sums(of_all(values, 0.0)) for values in (each.count, each.confidence, each.correct))
    drawn = ReliabilityBins(*sums)
    nll, brier = (score(true[known], probabilities[known]) for score in (negative_log_likelihoods, brier_scores))
    return {
        "ece": bootstrap.estimate(bins.expected_calibration_error(), drawn.expected_calibration_error()),
        "nll": bootstrap.mean(of_all(nll, np.nan), median=True),
        "brier": bootstrap.mean(of_all(brier, np.nan), median=True),
        "n_bins": N_BINS,
        "bins": _bin_table(bins),
    }


def _bin_table(bins: ReliabilityBins) -> list[dict[str, Any]]:
    rows = zip(bins.edges[:-1], bins.edges[1:], bins.count, bins.confidence, bins.correct, strict=True)
    return [
        {
            "lower": round(float(lower), 6),
            "upper": round(float(upper), 6),
            "count": int(count),
            "mean_confidence": float(confidence / count) if count else None,
            "accuracy": float(correct / count) if count else None,
        }
        for lower, upper, count, confidence, correct in rows
    ]


def _tumour_slices(records: Sequence[SliceRecord], classes: Classes, bootstrap: GroupBootstrap) -> dict[str, Any]:
    scored = np.array([r.mask_known and r.mask_predicted and r.true_area_px > 0 for r in records])
    of_class = np.array([record.true_class for record in records])
    subsets = {name: scored & (of_class == index) for name, index in classes.tumours.items()}
    return {
        **_outlines(records, scored, classes, bootstrap),
        "per_class": {name: _outlines(records, chosen, classes, bootstrap) for name, chosen in subsets.items()},
    }


def _outlines(
    records: Sequence[SliceRecord], chosen: np.ndarray, classes: Classes, bootstrap: GroupBootstrap
) -> dict[str, Any]:
    """Dice, IoU and distances of the chosen slices; a missed tumour has Dice 0 and no distance."""
    found = np.array([record.pred_area_px > 0 for record in records])
    kept = np.array([record.gated_area_px(classes) > 0 for record in records])
    units = np.array([record.hd95_unit for record in records])

    def estimate(name: str, where: np.ndarray) -> Estimate:
        values = np.array([getattr(record, name) for record in records], dtype=float)
        return bootstrap.mean(np.where(where, values, np.nan), median=True)

    return {
        "n": int(chosen.sum()),
        "missed": int((chosen & ~found).sum()),
        "missed_gated": int((chosen & ~kept).sum()),
        "dice": estimate("dice", chosen),
        "iou": estimate("iou", chosen),
        **{f"hd95_{unit}": estimate("hd95", chosen & found & (units == unit)) for unit in ("mm", "px")},
    }


def _no_tumour_slices(
    records: Sequence[SliceRecord], classes: Classes, bootstrap: GroupBootstrap
) -> dict[str, Any] | None:
    """The share of the slices without tumour that have any predicted pixel, raw and gated by the predicted class."""
    if classes.empty is None:
        return None
    chosen = np.array([record.true_class == classes.empty_index and record.mask_predicted for record in records])
    areas = {
        "raw": np.array([record.pred_area_px for record in records]),
        "gated": np.array([record.gated_area_px(classes) for record in records]),
    }
    return {
        "n": int(chosen.sum()),
        **{
            name: {"count": int((chosen & (area > 0)).sum()), **bootstrap.mean(np.where(chosen, area > 0, np.nan))}
            for name, area in areas.items()
        },
    }
