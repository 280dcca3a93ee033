"""A protocol's rows and differences from its models' predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from braintumor_ext.classes import Classes
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.evaluation_summary import summarise_evaluation
from braintumor_ext.metrics.records import SliceRecord
from studies.comparison.model_runs import NETWORK, TRIVIAL_BASELINE, ModelRuns, Run, paired_records
from studies.comparison.paired import (
    PairedDifference,
    group_weighted_mean,
    holm,
    mcnemar_exact,
    paired_differences,
)
from studies.comparison.scores import predicted_classes, rightness, run_scores, true_classes, tumour_dice
from studies.comparison.temperatures import temperature_of, with_temperature

RANDOM = "random"
BOOTSTRAP_TEST = "paired group bootstrap"
MCNEMAR_TEST = "McNemar, exact"
CALIBRATION = ("ece", "nll", "brier")
WHOLE_NUMBERS = ("parameters", "file_bytes", "peak_memory_bytes")

Pairs = Sequence[tuple[SliceRecord, SliceRecord]]
Summarise = Callable[[Sequence[SliceRecord]], dict[str, Any]]


def summarise_protocol(
    name: str, models: Sequence[ModelRuns], classes: Classes, n_draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Return what a comparison's report says of one protocol; None is an undefined number.

    A model's predictions in all runs are pooled; groups, not slices, are drawn for intervals, so that an image which
    several seeds test is not taken for several independent ones.

    Args:
        name: ``grouped`` or ``random``; McNemar's test is made for ``random`` only, as it knows no groups.
        models: the first is the one that differences are measured from.
        n_draws: draws of the bootstrap over groups.
        seed: the draws' seed.

    Returns:
        ``slices`` and ``groups`` that were evaluated, each counted once; ``rows``, one for each model;
        ``differences`` of the first model to every other network on the slices that both predicted.

    Raises:
        InputError: a record's probabilities are not K finite numbers, or two models do not agree on what is true.
    """
    pooled = [record for model in models for record in model.pooled]

    def summarise(records: Sequence[SliceRecord]) -> dict[str, Any]:
        return summarise_evaluation(records, classes, n_draws, seed)

    return {
        "slices": len({record.image for record in pooled}),
        "groups": len({record.group for record in pooled}),
        "rows": [_row(model, summarise, len(classes), n_draws, seed) for model in models],
        "differences": _differences(name, models, len(classes), n_draws, seed),
    }


def _row(model: ModelRuns, summarise: Summarise, num_classes: int, n_draws: int, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        **{key: getattr(model, key) for key in ("model", "title", "kind", "status")},
        "runs": len(model.runs),
        "of": model.of,
        **dict.fromkeys(("summary", "after_temperature", "spread", "group_weighted", "cost")),
    }
    if not model.runs:
        return row
    if model.kind == TRIVIAL_BASELINE:
        model = _with_records(model, [[replace(r, mask_predicted=False) for r in run.records] for run in model.runs])
    pooled = model.pooled
    summary = summarise(pooled)
    groups = [record.group for record in pooled]
    return row | {
        "summary": _without_probabilities(summary) if model.kind == TRIVIAL_BASELINE else summary,
        "after_temperature": _after_temperature(model, summarise) if model.kind == NETWORK else None,
        "spread": _spread(model.runs, num_classes),
        "group_weighted": {
            "accuracy": group_weighted_mean(rightness(pooled), groups, n_draws, seed),
            "dice": group_weighted_mean(tumour_dice(pooled), groups, n_draws, seed),
        },
        "cost": _mean_cost(model.runs),
    }


def _with_records(model: ModelRuns, records: Sequence[Sequence[SliceRecord]]) -> ModelRuns:
    runs = [replace(run, records=of_run) for run, of_run in zip(model.runs, records, strict=True)]
    return replace(model, runs=runs)


def _without_probabilities(summary: dict[str, Any]) -> dict[str, Any]:
    """Blank what a baseline's 0 and 1 say nothing of: areas under the curve and calibration."""
    undefined = {"value": None, "ci95": None}
    return summary | {
        "classification": {**summary["classification"], "macro_roc_auc": undefined},
        "per_class": {name: {**values, "roc_auc": undefined} for name, values in summary["per_class"].items()},
        "calibration": {**summary["calibration"], **dict.fromkeys(CALIBRATION, undefined), "bins": []},
    }


def _after_temperature(model: ModelRuns, summarise: Summarise) -> dict[str, Any] | None:
    """Calibration of the pooled predictions, each run's scaled by what its own validation slices say."""
    validations = [run.validation_records or () for run in model.runs]
    if not all(any(record.true_class != UNKNOWN for record in records) for records in validations):
        return None
    temperatures = [temperature_of(records) for records in validations]
    scaled = [with_temperature(run.records, t) for run, t in zip(model.runs, temperatures, strict=True)]
    calibration = summarise(_with_records(model, scaled).pooled)["calibration"]
    kept = {name: {key: calibration[name][key] for key in ("value", "ci95")} for name in CALIBRATION}
    return {"temperatures": temperatures, **kept}


def _spread(runs: Sequence[Run], num_classes: int) -> dict[str, Any]:
    """Mean and standard deviation over the runs, each scored by itself."""
    scores = [run_scores(run.records, num_classes) for run in runs]
    return {name: _mean_and_sd([score[name] for score in scores]) for name in ("accuracy", "macro_f1", "dice")}


def _mean_and_sd(values: Sequence[float]) -> dict[str, Any]:
    defined = [value for value in values if not np.isnan(value)]
    return {
        "mean": float(np.mean(defined)) if defined else None,
        "sd": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        "values": [None if np.isnan(value) else value for value in values],
    }


def _mean_cost(runs: Sequence[Run]) -> dict[str, Any] | None:
    """The mean over the runs of each cost, over those that know it, and where it was paid; None where none does."""
    costs = [run.cost for run in runs if run.cost is not None]
    if not costs:
        return None
    means: dict[str, Any] = {"milliseconds_per_image": None}
    for key in dict.fromkeys(key for cost in costs for key in cost):
        known = [cost[key] for cost in costs if cost.get(key) is not None]
        mean = float(np.mean(known)) if known else None
        means[key] = round(mean) if mean is not None and key in WHOLE_NUMBERS else mean
    return means | {"hardware": sorted({run.hardware for run in runs if run.hardware is not None})}


def _differences(
    name: str, models: Sequence[ModelRuns], num_classes: int, n_draws: int, seed: int
) -> list[dict[str, Any]]:
    networks = [model for model in models if model.kind == NETWORK and model.runs]
    if not networks or networks[0] is not models[0]:
        return []
    ours, found = networks[0], []
    for other in networks[1:]:
        theirs = {run.split for run in other.runs}
        shared = [run.split for run in ours.runs if run.split in theirs]
        names = {"a": ours.model, "b": other.model}
        pairs = paired_records(ours, other)
        differences = _bootstrapped(pairs, num_classes, n_draws, seed)
        found += [_entry(names, metric, shared, value, BOOTSTRAP_TEST) for metric, value in differences.items()]
        if name == RANDOM and shared:
            # Several seeds' test sets share images: McNemar's test is of one split.
            first = paired_records(*(_only(model, shared[0]) for model in (ours, other)))
            value = _bootstrapped(first, num_classes, n_draws, seed)["accuracy"]
            found.append(_entry(names, "accuracy", shared[:1], replace(value, p=_mcnemar(first)), MCNEMAR_TEST))
    found = [entry for entry in found if entry["n"]]
    for family in {(entry["metric"], entry["test"]) for entry in found}:
        members = [entry for entry in found if (entry["metric"], entry["test"]) == family]
        for entry, p in zip(members, holm([entry["p"] for entry in members]), strict=True):
            entry["p_holm"] = p
    return found


def _entry(
    names: Mapping[str, str], metric: str, splits: Sequence[str], found: PairedDifference, test: str
) -> dict[str, Any]:
    return {
        **names,
        "metric": metric,
        "splits": list(splits),
        "n": found.n,
        "difference": found.value,
        "ci95": found.ci95,
        "p": found.p,
        "p_holm": None,
        "test": test,
    }


def _only(model: ModelRuns, split: str) -> ModelRuns:
    return replace(model, runs=[run for run in model.runs if run.split == split])


def _bootstrapped(pairs: Pairs, num_classes: int, n_draws: int, seed: int) -> dict[str, PairedDifference]:
    a, b = [one for one, _ in pairs], [other for _, other in pairs]
    return paired_differences(
        true_classes(a),
        (predicted_classes(a), predicted_classes(b)),
        (tumour_dice(a), tumour_dice(b)),
        [record.group for record in a],
        num_classes,
        n_draws,
        seed,
    )


def _mcnemar(pairs: Pairs) -> float:
    known = [pair for pair in pairs if pair[0].true_class != UNKNOWN]
    right = np.array([[record.predicted_class == record.true_class for record in pair] for pair in known])
    return mcnemar_exact(*right.reshape(-1, 2).T)
