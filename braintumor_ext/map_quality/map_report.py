"""An evaluation of maps as files: explanations.json, per_slice.csv, explanations.md and two pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.data.classes import display_name
from braintumor_ext.files import replacing
from braintumor_ext.jsonable import jsonable
from braintumor_ext.map_quality.explained_slice import SCORES, ExplainedSlice, write_slices
from braintumor_ext.map_quality.map_summary import NAMES, SanityStage, Threshold, summarise_maps
from braintumor_ext.map_quality.randomisation import LIMIT
from braintumor_ext.markdown import NONE, table, with_interval
from braintumor_ext.visualize.map_curves import plot_perturbation_curves, plot_sanity

CURVES_PNG, SANITY_PNG = "deletion_insertion.png", "sanity.png"

SETTING_NAMES = {
    "layer": "layer of Grad-CAM, Grad-CAM++ and the smooth noise's grid",
    "tolerance_px": "tolerance of the pointing game, pixels of the slice's own grid",
    "steps": "steps of deletion and insertion",
    "validation_slices": "validation slices that chose the IoU thresholds",
    "seed": "seed",
}

HOW_TO_READ = """\
- **What is explained** is the class that the model predicted. On a wrong prediction a hit does not make the map good:
  it says that the model looked at the tumour and misnamed it; a miss, that something else led it astray.
- **Pointing**: share of slices whose map is highest inside the true mask, strictly and within {tolerance:g} pixels of
  the slice's own grid ([Zhang et al. 2018](https://arxiv.org/abs/1608.00507)).
- **Energy in the mask**: share of the map's sum inside the mask
  ([Wang et al. 2020](https://arxiv.org/abs/1910.01279)). A map that is the same everywhere has the mask's share of the
  area.
- **IoU**: the map above its method's threshold against the mask. The threshold was chosen on validation slices.
- **Deletion, insertion**: area under the explained class's probability while the most important pixels are blackened
  (lower is better) or given back to the blurred slice (higher is better)
  ([Petsiuk et al. 2018](https://arxiv.org/abs/1806.07421)).
- **Floors** know nothing of the model: smooth noise, and a Gaussian about the middle of the head. A method that does
  not beat them says no more than a guess.
- **Sanity checks**: the weights are drawn anew from the head down
  ([Adebayo et al. 2018](https://arxiv.org/abs/1810.03292)). A map that stays alike cannot tell what was learnt. Above
  {limit} on average after the last stage, by Spearman or by SSIM, the method is not trustworthy. The limit is a choice.
- **Trustworthy** is a method that beats both floors on strict pointing and on energy (paired difference on all slices,
  interval above 0) and passes the sanity checks. It holds for this model and these slices only, and it does not make a
  map evidence of anything in a patient."""


def write_map_evaluation(
    slices: Sequence[ExplainedSlice],
    sanity: Sequence[SanityStage],
    thresholds: Mapping[str, Threshold],
    output_dir: str | PathLike[str],
    class_names: Sequence[str],
    settings: Mapping[str, Any] | None = None,
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
        thresholds: each map's IoU threshold.
        output_dir: the folder, made if it does not exist.
        class_names: the class names in the order of their indices.
        settings: how the maps were made: ``tolerance_px``, ``steps``, ``layer``, ``validation_slices`` and so on.
        title: the report's heading.
        context: what the numbers belong to (split, checkpoint, date, hardware ...).
        n_draws: draws of the bootstrap over groups.
        seed: the draws' seed.

    Raises:
        ValueError: there is no slice.
    """
    summary = jsonable(
        {
            "title": title or "Evaluation of heat maps",
            "context": dict(context or {}),
            "settings": dict(settings or {}),
            **summarise_maps(slices, sanity, thresholds, class_names, n_draws, seed),
        }
    )
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    plot_perturbation_curves(summary["curves"], NAMES, summary["floors"], folder / CURVES_PNG, summary["title"])
    if summary["sanity"]["stages"]:
        plot_sanity(summary["sanity"], NAMES, folder / SANITY_PNG, summary["title"])
    else:
        (folder / SANITY_PNG).unlink(missing_ok=True)
    with replacing(folder / "per_slice.csv") as path:
        write_slices(sorted(slices, key=lambda one: one.image), path, class_names)
    with replacing(folder / "explanations.md") as path:
        path.write_text(render_map_report(summary), encoding="utf-8")
    with replacing(folder / "explanations.json") as path:
        path.write_text(json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    return summary


def render_map_report(summary: Mapping[str, Any]) -> str:
    """Return the Markdown report.

    Args:
        summary: what ``explanations.json`` holds.
    """
    tolerance = summary["settings"].get("tolerance_px", 0)
    parts = [
        _head(summary),
        "## Which method to trust\n\n" + "\n".join(f"- {line}" for line in summary["reading"]),
        _scores_section(summary),
        _floors_section(summary),
        f"## Deletion and insertion\n\nMean over all slices.\n\n![Deletion and insertion curves]({CURVES_PNG})",
        _sanity_section(summary),
        "## How to read it\n\n" + HOW_TO_READ.format(tolerance=tolerance, limit=LIMIT),
    ]
    return "\n\n".join(parts) + "\n"


def _head(summary: Mapping[str, Any]) -> str:
    slices, draws = summary["slices"], summary["bootstrap"]
    lines = [f"# {summary['title']}", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in summary["context"].items()]
    settings = summary["settings"]
    lines += [f"- {label}: {settings[name]}" for name, label in SETTING_NAMES.items() if name in settings]
    per_class = ", ".join(f"{display_name(n)} {slices[n]}" for n in summary["class_names"] if n in slices)
    lines.append(
        f"- tumour slices with a mask: {slices['evaluated']} in {slices['groups']} groups ({per_class}); predicted "
        f"right {slices['right']}, wrong {slices['wrong']}"
    )
    lines.append(
        f"- in brackets: 95% interval by bootstrap over groups ({draws['n_draws']} draws of {draws['n_groups']} "
        f"groups, seed {draws['seed']}); {NONE} means undefined"
    )
    return "\n".join(lines)


def _scores_section(summary: Mapping[str, Any]) -> str:
    headings = {"all": "All slices", "right": "Right predictions", "wrong": "Wrong predictions"}
    parts = ["## Scores"]
    overlap = summary["settings"].get("validation_slices_scored_too")
    if overlap:
        parts.append(f"{overlap} of the scored slices also chose the IoU thresholds: that IoU is too kind.")
    for part, values in summary["scores"].items():
        area = with_interval(values["area_share"])
        parts.append(f"### {headings.get(part, display_name(part).capitalize())}")
        parts.append(f"{values['n']} slices; the mask covers {area} of a slice." if values["n"] else "No slice.")
        if values["n"]:
            parts.append(_scores_table(values["maps"], summary))
    empty = {NAMES[name]: n for name, n in summary["empty_maps"].items() if n}
    if empty:
        told = ", ".join(f"{name} {n}" for name, n in empty.items())
        parts.append(f"Maps that are empty, which count as misses: {told}.")
    return "\n\n".join(parts)


def _scores_table(maps: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    tolerance = summary["settings"].get("tolerance_px", 0)
    header = ["map", "pointing", f"within {tolerance:g} px", "energy in the mask", "IoU (threshold)"]
    header += ["deletion ↓", "insertion ↑"]
    rows = []
    for name, scores in maps.items():
        cells = {score: with_interval(scores[score]) for score in SCORES}
        cells["iou"] += f" at {summary['thresholds'][name]['value']:g}"
        rows.append([NAMES[name], *cells.values()])
    return table(header, rows)


def _floors_section(summary: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{NAMES[name]} – {NAMES[floor].removeprefix('floor: ')}",
            *(with_interval(values[score]) for score in SCORES),
        ]
        for name, floors in summary["against_floors"].items()
        for floor, values in floors.items()
    ]
    tolerance = summary["settings"].get("tolerance_px", 0)
    header = ["method – floor", "pointing", f"within {tolerance:g} px", "energy in the mask", "IoU"]
    text = table([*header, "deletion ↓", "insertion ↑"], rows)
    return f"## Against the floors\n\nMean paired difference over all slices.\n\n{text}"


def _sanity_section(summary: Mapping[str, Any]) -> str:
    sanity = summary["sanity"]
    if not sanity["stages"]:
        return "## Sanity checks\n\nLeft out: no method can be called trustworthy."
    rows = []
    for name, stages in sanity["methods"].items():
        sane = summary["verdicts"][name]["sane"]
        for number, stage in enumerate(stages, 1):
            last = number == len(stages)
            undefined = sanity["n"] - stage["spearman"]["n"]
            verdict = ("passes" if sane else "**not trustworthy**") if last else ""
            rows.append(
                [
                    NAMES[name],
                    f"{number}. {stage['stage']}",
                    with_interval(stage["spearman"]) + (f"; {undefined} undefined" if undefined else ""),
                    with_interval(stage["ssim"]),
                    verdict,
                ]
            )
    header = ["method", "randomised down to", "Spearman", "SSIM", f"limit {sanity['limit']}"]
    text = (
        f"Maps of {sanity['n']} slices before and after the weights are drawn anew, stage by stage from the head down, "
        "for the class that the trained model predicted. A rank correlation with a map of one value is undefined."
    )
    return f"## Sanity checks\n\n{text}\n\n{table(header, rows)}\n\n![Sanity checks]({SANITY_PNG})"
