"""The report of a calibration: what it changes, measured also on slices that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from braintumor_ext.calibration.answers import Answers
from braintumor_ext.calibration.calibration import LOW_CONFIDENCE, UNUSUAL_INPUT, Calibration
from braintumor_ext.calibration.measures import Judged, confidence_measures, judge, probability_measures
from braintumor_ext.calibration.score_histogram import plot_scores
from braintumor_ext.data.classes import display_name
from braintumor_ext.files import replacing
from braintumor_ext.markdown import NONE, number, table
from braintumor_ext.metrics.bootstrap import group_bootstrap
from braintumor_ext.metrics.calibration import reliability_bins
from braintumor_ext.visualize import plot_reliability

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
    validation: Answers,
    crossed: Judged | None,
    probes: Answers,
    kinds: Sequence[str],
    training_slices: int,
) -> None:
    """Write ``calibration.md`` and its pictures.

    Args:
        folder: where to write.
        calibration: what was fitted.
        validation: the answers that it was fitted to.
        crossed: the same slices, each judged by constants fitted to other groups; None where there are too few.
        probes: answers about pictures that are no brain MRI.
        kinds: what each of these shows.
        training_slices: how many slices the detector's constants are from.
    """
    folder = Path(folder)
    own = judge(validation, calibration.temperature, calibration.confidence_threshold, calibration.detector)
    parts = [
        _head(calibration, validation, crossed, training_slices),
        _probabilities(calibration, validation, own, crossed),
        _confidence(calibration, validation, own, crossed),
        _detector(calibration, validation, own, crossed, probes, kinds),
        _bfloat16(calibration),
    ]
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
    with replacing(folder / REPORT) as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(calibration: Calibration, validation: Answers, crossed: Judged | None, training_slices: int) -> str:
    lines = [
        "# Calibration",
        "",
        f"- checkpoint: {calibration.checkpoint}, SHA-256 {calibration.sha256}",
        f"- date: {calibration.date}; image size: {calibration.image_size}",
        f"- fitted on: {calibration.fitted_on}, {calibration.slices} slices of known class in {calibration.groups} "
        f"groups; the detector's means and deviations on {training_slices} training slices, not augmented",
        "- cross-fitted: each slice is judged by constants fitted to the slices of other groups"
        if crossed
        else "- cross-fitted figures: none, there are too few groups",
        "- what a new data set gives is for an evaluation to say: the test section was not touched",
    ]
    return "\n".join(lines)


def _probabilities(calibration: Calibration, validation: Answers, own: Judged, crossed: Judged | None) -> str:
    known = validation.known
    columns = [validation.probabilities()[known], own.probabilities[known]]
    columns += [crossed.probabilities[known]] if crossed else []
    found = [probability_measures(validation.classes[known], probabilities) for probabilities in columns]
    rows = [[label, *(number(values[name]) for values in found)] for name, label in MEASURES.items()]
    header = [f"{known.sum()} slices", "as trained", "calibrated, same slices", "calibrated, cross-fitted"]
    text = f"Temperature {calibration.temperature:.4g}."
    pictures = f"![As trained]({BEFORE})\n\n![Calibrated]({AFTER})"
    return f"## Probabilities\n\n{text}\n\n{table(header[: len(columns) + 1], rows)}\n\n{pictures}"


def _confidence(calibration: Calibration, validation: Answers, own: Judged, crossed: Judged | None) -> str:
    known = validation.known
    rows = []
    for name, judged in (("same slices", own), ("cross-fitted", crossed)):
        if judged is None:
            continue
        chosen = Judged(judged.probabilities[known], judged.low_confidence[known], None)
        values = confidence_measures(validation.classes[known], chosen)
        accuracies = [number(values[key]) for key in ("accuracy", "accuracy_others", "accuracy_flagged")]
        rows.append([name, _share(values["flagged"], values["n"]), *accuracies])
    header = ["", "flagged", "accuracy of all", "of those without the flag", "of those with it"]
    threshold = calibration.confidence_threshold
    text = f'"{LOW_CONFIDENCE}" below {threshold:.4g}, chosen for {calibration.confidence_target:.0%} right above it.'
    if threshold >= 1:
        text += " No threshold reaches that: every answer below certainty is flagged."
    return f"## Low confidence\n\n{text}\n\n{table(header, rows)}"


def _detector(
    calibration: Calibration,
    validation: Answers,
    own: Judged,
    crossed: Judged | None,
    probes: Answers,
    kinds: Sequence[str],
) -> str:
    heading, detector = "## Unusual input", calibration.detector
    if detector is None or own.unusual is None or probes.features is None:
        return f"{heading}\n\nThe network gives no features: there is no detector."
    told = detector.is_unusual(probes.features)
    header = ["false alarms on validation slices", "same slices", "cross-fitted"]
    rows = []
    members = {display_name(name): validation.classes == i for i, name in enumerate(calibration.class_names)}
    for name, inside in {"all": np.ones(len(validation), dtype=bool), **members}.items():
        if not inside.any():
            continue
        alarms = [j.unusual for j in (own, crossed) if j is not None and j.unusual is not None]
        cells = [_share(int(a[inside].sum()), int(inside.sum())) for a in alarms]
        if name == "all" and crossed is not None:
            low, high = group_bootstrap(validation.groups, alarms[-1].astype(float))
            cells[-1] += f" (95% over groups: {number(low)} to {number(high)})"
        rows.append([name, *cells])
    found = []
    for kind in dict.fromkeys(kinds):
        inside = np.array(kinds) == kind
        found.append([kind, _share(int(told[inside].sum()), int(inside.sum()))])
    found.append(["all", _share(int(told.sum()), len(told))])
    text = (
        f'"{UNUSUAL_INPUT}" above a score of {detector.threshold:.4g}, the {detector.quantile:.0%} quantile of the '
        "validation slices' scores."
    )
    tables = [
        table(header[: 2 + (crossed is not None)], rows),
        table(["pictures that are no brain MRI", "told"], found),
    ]
    return "\n\n".join([heading, text, *tables, f"![Scores]({SCORES})"])


def _bfloat16(calibration: Calibration) -> str:
    heading, found = "## bfloat16", calibration.bfloat16
    if found is None:
        return f"{heading}\n\nNot measured: inference with amp auto takes float32."
    taken = "takes it on a CPU that has it" if found.holds else "takes float32: that is too far"
    return f"{heading}\n\nAgainst float32: {found}. Inference with amp auto {taken}."


def _share(count: int, n: int) -> str:
    return f"{count} of {n} ({count / n:.1%})" if n else NONE
