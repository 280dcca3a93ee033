"""An evaluation of maps as files: explanations.json, per_slice.csv, explanations.md and two pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.classes import Classes, display_name
from braintumor_ext.files import write_json, write_text
from braintumor_ext.jsonable import jsonable
from braintumor_ext.plots import plot_perturbation_curves, plot_sanity
from braintumor_ext.reporting import render, with_interval
from braintumor_ext.saliency_metrics.map_summary import (
    NAMES,
    SCORES,
    ExplainedSlice,
    SanityStage,
    Threshold,
    summarise_maps,
    write_slices,
)
from braintumor_ext.saliency_metrics.randomisation import LIMIT

CURVES_PNG, SANITY_PNG = "deletion_insertion.png", "sanity.png"

SETTING_NAMES = {
    "layer": "layer of Grad-CAM, Grad-CAM++ and the smooth noise's grid",
    "tolerance_px": "tolerance of the pointing game, pixels of the slice's own grid",
    "steps": "steps of deletion and insertion",
    "validation_slices": "validation slices that chose the IoU thresholds",
    "seed": "seed",
}

PART_NAMES = {"all": "All slices", "right": "Right predictions", "wrong": "Wrong predictions"}


def write_map_evaluation(
    slices: Sequence[ExplainedSlice],
    sanity: Sequence[SanityStage],
    thresholds: Mapping[str, Threshold],
    settings: Mapping[str, Any],
    output_dir: str | PathLike[str],
    classes: Classes,
    title: str = "",
    context: Mapping[str, Any] | None = None,
    n_draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the numbers, tables and pictures, and return what ``explanations.json`` holds.

    Each file appears whole or not at all and takes the place of an earlier one.

    Args:
        slices: at least one, in any order.
        sanity: the stages from the head down; none leaves the sanity checks out.
        settings: how the maps were made: ``tolerance_px``, ``steps``, ``layer``, ``validation_slices`` and so on.
        context: what the numbers belong to (split, checkpoint, date, hardware ...).
    """
    summary = jsonable(
        {
            "title": title or "Evaluation of heat maps",
            "context": dict(context or {}),
            "settings": dict(settings),
            **summarise_maps(slices, sanity, thresholds, classes, n_draws, seed),
        }
    )
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    plot_perturbation_curves(
        summary["curves"], NAMES, summary["trivial_baselines"], folder / CURVES_PNG, summary["title"]
    )
    if summary["sanity"]["stages"]:
        plot_sanity(summary["sanity"], NAMES, folder / SANITY_PNG, summary["title"])
    else:
        (folder / SANITY_PNG).unlink(missing_ok=True)
    write_slices(sorted(slices, key=lambda one: one.image), folder / "per_slice.csv", classes)
    write_text(folder / "explanations.md", render_map_report(summary))
    write_json(folder / "explanations.json", summary)
    return summary


def render_map_report(summary: Mapping[str, Any]) -> str:
    """Return the Markdown report."""
    baselines = [
        [
            f"{NAMES[name]} – {NAMES[baseline].removeprefix('trivial baseline: ')}",
            *(with_interval(values[score]) for score in SCORES),
        ]
        for name, baselines in summary["against_baselines"].items()
        for baseline, values in baselines.items()
    ]
    return render(
        "explanations.md",
        **summary,
        setting_names=SETTING_NAMES,
        limit=LIMIT,
        parts=[_part(name, values, summary["thresholds"]) for name, values in summary["scores"].items()],
        empty=[f"{NAMES[name]} {n}" for name, n in summary["empty_maps"].items() if n],
        baseline_rows=baselines,
        sanity_rows=_sanity_rows(summary),
    )


def _part(name: str, values: Mapping[str, Any], thresholds: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of some of the slices: all, right or wrong predictions, or a class's."""
    rows = []
    for method, scores in values["maps"].items() if values["n"] else ():
        cells = {score: with_interval(scores[score]) for score in SCORES}
        cells["iou"] += f" at {thresholds[method]['value']:g}"
        rows.append([NAMES[method], *cells.values()])
    heading = PART_NAMES.get(name, display_name(name).capitalize())
    return {"heading": heading, "n": values["n"], "area": with_interval(values["area_share"]), "rows": rows}


def _sanity_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    sanity, rows = summary["sanity"], []
    for name, stages in sanity["methods"].items():
        verdict = "passes" if summary["verdicts"][name]["sane"] else "**not trustworthy**"
        for number, stage in enumerate(stages, 1):
            undefined = sanity["n"] - stage["spearman"]["n"]
            ranks = with_interval(stage["spearman"]) + (f"; {undefined} undefined" if undefined else "")
            last = verdict if number == len(stages) else ""
            rows.append([NAMES[name], f"{number}. {stage['stage']}", ranks, with_interval(stage["ssim"]), last])
    return rows
