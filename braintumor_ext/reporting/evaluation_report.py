"""An evaluation as files: metrics.json, per_image.csv, report.md and the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.classes import Classes, display_name
from braintumor_ext.files import write_json, write_text
from braintumor_ext.jsonable import jsonable
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.calibration import reliability_bins
from braintumor_ext.metrics.evaluation_summary import summarise_evaluation
from braintumor_ext.metrics.records import SliceRecord, write_records
from braintumor_ext.plots import plot_confusion_matrix, plot_reliability, plot_roc_curves
from braintumor_ext.reporting.markdown import NONE, number, with_count, with_interval, with_median
from braintumor_ext.reporting.template import render

TRIVIAL_BASELINE_NAMES = {
    "nearest_neighbour": "trivial baseline: 1-nearest neighbour by correlation of thumbnails",
    "file_properties": "trivial baseline: file properties only (size, mode, bytes)",
}
RATE_NAMES = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "macro_roc_auc": "macro ROC AUC (one versus rest)",
}
CALIBRATION_NAMES = {
    "ece": "expected calibration error (15 bins, top label)",
    "nll": "negative log-likelihood",
    "brier": "Brier score (0 to 2)",
}
CLASS_COLUMNS = ("precision", "recall", "f1", "one_versus_rest_accuracy", "roc_auc")
GATE_NAMES = {"raw": "with any predicted pixel", "gated": "with any predicted pixel after gating by class"}


def write_evaluation(
    records: Sequence[SliceRecord],
    output_dir: str | PathLike[str],
    classes: Classes,
    trivial_baselines: Mapping[str, Mapping[str, Any]] | None = None,
    title: str = "",
    context: Mapping[str, Any] | None = None,
    n_draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the numbers, tables and pictures of an evaluation, and return what metrics.json holds.

    Each file appears whole or not at all and takes the place of an earlier evaluation's; no other file is touched.

    Args:
        records: one for each slice, at least one, in any order.
        trivial_baselines: the name of each (``nearest_neighbour``, ``file_properties``) to its ``accuracy`` and the
            number ``n`` of slices it was measured on; None if none was measured.
        context: what the numbers belong to (split, data set, checkpoint, date, hardware ...), shown in the report.
    """
    summary = {
        "title": title or "Evaluation",
        "context": dict(context or {}),
        **summarise_evaluation(records, classes, n_draws, seed),
        "trivial_baselines": {name: dict(values) for name, values in (trivial_baselines or {}).items()},
    }
    summary = jsonable(summary)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(records, key=lambda record: (record.image, record.probabilities))
    _draw_pictures(ordered, classes, summary, folder)
    write_records(ordered, folder / "per_image.csv", classes)
    write_text(folder / "report.md", render_report(summary))
    write_json(folder / "metrics.json", summary)
    return summary


def _draw_pictures(records: Sequence[SliceRecord], classes: Classes, summary: Mapping[str, Any], folder: Path) -> None:
    known = [record for record in records if record.true_class != UNKNOWN]
    true = np.array([record.true_class for record in known], dtype=np.int64)
    probabilities = np.array([record.probabilities for record in known], dtype=float).reshape(-1, len(classes))
    confusion, title = np.array(summary["confusion_matrix"]), str(summary["title"])
    plot_confusion_matrix(confusion, classes, folder / "confusion_matrix.png", title)
    curves = {display_name(name): (true == index, probabilities[:, index]) for index, name in enumerate(classes)}
    plot_roc_curves(curves, folder / "roc_curves.png", title)
    plot_reliability(reliability_bins(true, probabilities), folder / "reliability.png", title)


def render_report(summary: Mapping[str, Any]) -> str:
    """Return the Markdown report of an evaluation."""
    values, tumour = summary["classification"], summary["segmentation"]["tumour_slices"]
    rates = [[label, with_interval(values[name])] for name, label in RATE_NAMES.items()]
    baselines = [
        [
            TRIVIAL_BASELINE_NAMES.get(name, f"trivial baseline: {name.replace('_', ' ')}"),
            _baseline(baseline, values["accuracy"]),
        ]
        for name, baseline in summary["trivial_baselines"].items()
    ]
    names = [display_name(name) for name in summary["class_names"]]
    empty = summary["segmentation"]["no_tumour_slices"] or {}
    return render(
        "evaluation.md",
        **summary,
        overall_rows=[rates[0], *baselines, *rates[1:]],
        class_rows=[
            [display_name(name), str(found["support"]), *(with_interval(found[column]) for column in CLASS_COLUMNS)]
            for name, found in summary["per_class"].items()
        ],
        confusion_rows=[
            [f"**{name}**", *map(str, row)] for name, row in zip(names, summary["confusion_matrix"], strict=True)
        ],
        outline_rows=[
            _outline_row("all", tumour),
            *(_outline_row(display_name(name), found) for name, found in tumour["per_class"].items()),
        ],
        empty_rows=[[label, with_count(empty[name], empty["n"])] for name, label in GATE_NAMES.items() if empty],
        calibration_rows=[
            [label, with_interval(summary["calibration"][name])] for name, label in CALIBRATION_NAMES.items()
        ],
    )


def _baseline(baseline: Mapping[str, Any], accuracy: Mapping[str, Any]) -> str:
    value = baseline.get("accuracy")
    text = number(value) + (f" (n = {baseline['n']})" if baseline.get("n") is not None else "")
    if value is None or accuracy["value"] is None:
        return text
    return f"{text}; the model: {accuracy['value'] - value:+.3f}"


def _outline_row(name: str, values: Mapping[str, Any]) -> list[str]:
    distances = [
        f"{with_median(values[f'hd95_{unit}'], 1)} (n = {values[f'hd95_{unit}']['n']})"
        if values[f"hd95_{unit}"]["n"]
        else NONE
        for unit in ("mm", "px")
    ]
    counts = [str(values["n"]), str(values["missed"]), str(values["missed_gated"])]
    return [name, *counts, with_median(values["dice"]), with_median(values["iou"]), *distances]
