"""A comparison as files: comparison.json, comparison.csv, comparison.md and the bar chart."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.files import replacing, write_json, write_text
from braintumor_ext.jsonable import jsonable
from braintumor_ext.plain_text import csv_row
from studies.comparison.bars import BarPanel, BarRow, plot_comparison_bars
from studies.comparison.published import PUBLISHED
from studies.comparison.report_tables import (
    METRIC_NAMES,
    NOT_RUN,
    estimate_at,
    gives_masks,
    is_as_published,
    is_trivial_baseline,
    render_comparison,
    row_name,
    section_at,
    without,
)

FILES = ("comparison.json", "comparison.csv", "comparison.md", "comparison.png")
OVERALL = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_roc_auc")
CALIBRATION = ("ece", "nll", "brier")
COSTS = (
    "parameters",
    "file_bytes",
    "epochs",
    "seconds_per_epoch",
    "training_seconds",
    "peak_memory_bytes",
    "milliseconds_per_image",
)


def write_comparison(result: Mapping[str, Any], output_dir: str | PathLike[str]) -> None:
    """Write a comparison's numbers, tables and picture.

    Each file appears whole or not at all and takes the place of an earlier one; no other file is touched.

    Args:
        result: ``title``, ``context``, ``class_names``, ``empty_class`` and, by the protocol's name, ``protocols``:
            each with ``slices``, ``groups``, ``splits``, ``differences`` and ``rows``, one for each model and baseline.
            A row that was not trained has the status ``not run`` and None for everything measured.
        output_dir: the folder, made if it does not exist.

    Raises:
        ValueError: there is no protocol.
    """
    result = jsonable(result)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = list(METRIC_NAMES.values())
    panels = [_panel(name, protocol, is_as_published(result, name)) for name, protocol in result["protocols"].items()]
    plot_comparison_bars(panels, metrics, folder / "comparison.png", result["title"])
    with replacing(folder / "comparison.csv") as path:
        _write_csv(path, result)
    write_text(folder / "comparison.md", render_comparison(result))
    write_json(folder / "comparison.json", result)


def _panel(name: str, protocol: Mapping[str, Any], as_published: bool) -> BarPanel:
    networks = [row for row in protocol["rows"] if not is_trivial_baseline(row) and row["status"] != NOT_RUN]
    baselines = {
        row["title"]: estimate_at(row["summary"], "classification", "accuracy")["value"]
        for row in protocol["rows"]
        if is_trivial_baseline(row)
    }
    return BarPanel(
        f"{name.capitalize()} protocol, {protocol['slices']:,} slices, {protocol['groups']:,} groups",
        [_bars(row, as_published) for row in networks],
        {title: value for title, value in baselines.items() if value is not None},
    )


def _bars(row: Mapping[str, Any], as_published: bool) -> BarRow:
    paths = {
        "accuracy": ("classification", "accuracy"),
        "macro_f1": ("classification", "macro_f1"),
        "dice": ("segmentation", "tumour_slices", "dice"),
    }
    published = PUBLISHED.get(row["model"]) if as_published else None
    return BarRow(
        row_name(row).replace(", partial", "\npartial"),
        {METRIC_NAMES[metric]: estimate_at(row["summary"], *path) for metric, path in paths.items()},
        None if published is None else published.accuracy / 100,
    )


def _write_csv(path: Path, result: Mapping[str, Any]) -> None:
    """One line for each protocol and row; what is unknown or does not apply is blank."""
    lines = [
        _csv_line(name, protocol, row, result)
        for name, protocol in result["protocols"].items()
        for row in protocol["rows"]
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer, names = csv.writer(file), list(lines[0]) if lines else ["protocol", "model"]
        writer.writerow(csv_row(names))  # class names among them
        writer.writerows(csv_row(line.get(name, "") for name in names) for line in lines)


def _csv_line(
    name: str,
    protocol: Mapping[str, Any],
    row: Mapping[str, Any],
    result: Mapping[str, Any],
) -> dict[str, Any]:
    class_names, empty_class, summary = result["class_names"], result["empty_class"], row["summary"]
    published = PUBLISHED.get(row["model"]) if is_as_published(result, name) else None
    seen = summary if not is_trivial_baseline(row) else None  # a baseline knows neither probabilities nor masks
    masks = seen["segmentation"] if seen is not None and gives_masks(row) else None
    line: dict[str, Any] = {
        "protocol": name,
        **{key: row[key] for key in ("model", "title", "kind", "status", "runs", "of")},
        "slices": section_at(summary, "slices").get("total"),
        "groups": section_at(summary, "slices").get("groups"),
        "split_hashes": " ".join(split["hash"] for split in protocol["splits"]),
        "published_accuracy": None if published is None else round(published.accuracy / 100, 6),
    }

    def put(column: str, estimate: Mapping[str, Any]) -> None:
        lower, upper = estimate["ci95"] or (None, None)
        line.update({column: estimate["value"], f"{column}_low": lower, f"{column}_high": upper})

    for rate in OVERALL:
        put(rate, estimate_at(seen if rate == "macro_roc_auc" else summary, "classification", rate))
    for class_name in class_names:
        line[f"{class_name}_support"] = section_at(summary, "per_class", class_name).get("support")
        for rate in ("recall", "precision", "f1"):
            put(f"{class_name}_{rate}", estimate_at(summary, "per_class", class_name, rate))
        put(f"{class_name}_roc_auc", estimate_at(seen, "per_class", class_name, "roc_auc"))
        if class_name != empty_class:
            put(f"{class_name}_dice", estimate_at(masks, "tumour_slices", "per_class", class_name, "dice"))
    tumour, empty = section_at(masks, "tumour_slices"), section_at(masks, "no_tumour_slices")
    line |= {"tumour_slices": tumour.get("n"), "missed": tumour.get("missed")}
    put("dice", estimate_at(masks, "tumour_slices", "dice"))
    line["no_tumour_slices"] = empty.get("n")
    for gate in ("raw", "gated"):
        put(f"no_tumour_without_pixel_{gate}", without(estimate_at(masks, "no_tumour_slices", gate)))
    for measure in CALIBRATION:
        put(measure, estimate_at(seen, "calibration", measure))
    for measure in CALIBRATION:
        put(f"{measure}_after_temperature", estimate_at(row.get("after_temperature"), measure))
    temperatures = (row.get("after_temperature") or {}).get("temperatures") or []
    line["temperatures"] = " ".join(map(str, temperatures))
    for metric in METRIC_NAMES:
        values = (row.get("spread") or {}).get(metric) or {}
        line |= {f"{metric}_mean_over_runs": values.get("mean"), f"{metric}_sd_over_runs": values.get("sd")}
    for metric in ("accuracy", "dice"):
        put(f"{metric}_each_group_the_same", estimate_at(row.get("group_weighted"), metric))
    cost = row.get("cost") or {}
    return line | {key: cost.get(key) for key in COSTS} | {"hardware": "; ".join(cost.get("hardware", [])) or None}
