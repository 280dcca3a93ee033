"""The report of a calibration: what it changes, measured also on slices that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from braintumor_ext.calibration.calibration import LOW_CONFIDENCE, UNUSUAL_INPUT, Calibration
from braintumor_ext.calibration.measures import (
    Judged,
    LabelledOutputs,
    confidence_measures,
    judge,
    probability_measures,
)
from braintumor_ext.classes import display_name
from braintumor_ext.files import write_text
from braintumor_ext.metrics.bootstrap import group_bootstrap
from braintumor_ext.metrics.calibration import reliability_bins
from braintumor_ext.plots import plot_reliability, plot_scores
from braintumor_ext.reporting import number, render, share_of

REPORT = "calibration.md"
BEFORE, AFTER, SCORES = "reliability_before.png", "reliability_after.png", "detector_scores.png"
MEASURES = {
    "nll": "negative log-likelihood",
    "ece": "expected calibration error (15 bins, top label)",
    "brier": "Brier score (0 to 2)",
}


def write_calibration_report(
    folder: str | PathLike[str],
    calibration: Calibration,
    validation: LabelledOutputs,
    crossed: Judged | None,
    probes: LabelledOutputs,
    kinds: Sequence[str],
    training_slices: int,
) -> None:
    """Write ``calibration.md`` and its pictures.

    Args:
        folder: where to write.
        calibration: what was fitted.
        validation: the predictions that it was fitted to.
        crossed: the same slices, each judged by constants fitted to other groups; None where there are too few.
        probes: predictions about pictures that are no brain MRI.
        kinds: what each of these shows.
        training_slices: how many slices the detector's constants are from.
    """
    folder = Path(folder)
    own = judge(validation, calibration.temperature, calibration.confidence_threshold, calibration.detector)
    known = validation.known
    shown = (crossed or own).probabilities[known]
    title = "calibrated, cross-fitted" if crossed else "calibrated, on the slices of the fit"
    before = validation.probabilities()[known]
    plot_reliability(reliability_bins(validation.classes[known], before), folder / BEFORE, "As trained")
    plot_reliability(reliability_bins(validation.classes[known], shown), folder / AFTER, title.capitalize())
    if calibration.detector is not None and validation.features is not None and probes.features is not None:
        scores, others = (calibration.detector.score(f) for f in (validation.features, probes.features))
        of_class = {
            display_name(name): scores[validation.classes == index]
            for index, name in enumerate(calibration.class_names)
            if (validation.classes == index).any()
        }
        of_kind = {kind: others[np.array(kinds) == kind] for kind in dict.fromkeys(kinds)}
        plot_scores(of_class, of_kind, calibration.detector.threshold, folder / SCORES)
    text = render(
        "calibration.md",
        calibration=calibration,
        crossed=crossed is not None,
        training_slices=training_slices,
        known=known.sum(),
        low_confidence=LOW_CONFIDENCE,
        ood_detector=UNUSUAL_INPUT,
        probability_rows=_probability_rows(validation, own, crossed),
        confidence_rows=_confidence_rows(validation, own, crossed),
        alarm_rows=_alarm_rows(calibration, validation, own, crossed),
        told_rows=_told_rows(calibration, probes, kinds),
    )
    write_text(folder / REPORT, text)


def _probability_rows(validation: LabelledOutputs, own: Judged, crossed: Judged | None) -> list[list[str]]:
    known = validation.known
    columns = [validation.probabilities(), own.probabilities, *([crossed.probabilities] if crossed else [])]
    found = [probability_measures(validation.classes[known], probabilities[known]) for probabilities in columns]
    return [[label, *(number(values[name]) for values in found)] for name, label in MEASURES.items()]


def _confidence_rows(validation: LabelledOutputs, own: Judged, crossed: Judged | None) -> list[list[str]]:
    known, rows = validation.known, []
    for name, judged in (("same slices", own), ("cross-fitted", crossed)):
        if judged is None:
            continue
        chosen = Judged(judged.probabilities[known], judged.low_confidence[known], None)
        values = confidence_measures(validation.classes[known], chosen)
        accuracies = [number(values[key]) for key in ("accuracy", "accuracy_others", "accuracy_flagged")]
        rows.append([name, share_of(values["flagged"], values["n"]), *accuracies])
    return rows


def _alarm_rows(
    calibration: Calibration, validation: LabelledOutputs, own: Judged, crossed: Judged | None
) -> list[list[str]]:
    """Return the false alarms, of all slices and of each class; none where there is no detector."""
    alarms = [judged.unusual for judged in (own, crossed) if judged is not None and judged.unusual is not None]
    if calibration.detector is None or own.unusual is None:
        return []
    members = {display_name(name): validation.classes == i for i, name in enumerate(calibration.class_names)}
    rows = []
    for name, inside in {"all": np.ones(len(validation), dtype=bool), **members}.items():
        if not inside.any():
            continue
        cells = [share_of(int(told[inside].sum()), int(inside.sum())) for told in alarms]
        if name == "all" and crossed is not None:
            low, high = group_bootstrap(validation.groups, alarms[-1].astype(float))
            cells[-1] += f" (95% over groups: {number(low)} to {number(high)})"
        rows.append([name, *cells])
    return rows


def _told_rows(calibration: Calibration, probes: LabelledOutputs, kinds: Sequence[str]) -> list[list[str]]:
    if calibration.detector is None or probes.features is None:
        return []
    told, shown = calibration.detector.is_unusual(probes.features), np.array(kinds)
    members = {kind: shown == kind for kind in dict.fromkeys(kinds)} | {"all": np.ones(len(told), dtype=bool)}
    return [[kind, share_of(int(told[inside].sum()), int(inside.sum()))] for kind, inside in members.items()]
