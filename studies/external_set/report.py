"""An external set's figures as files: external_set.json, external_set.md, per_slice.csv and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from braintumor_ext import Predictor
from braintumor_ext.classes import display_name
from braintumor_ext.files import replacing, write_json, write_text
from braintumor_ext.jsonable import jsonable
from braintumor_ext.metrics import SliceRecord, write_records
from braintumor_ext.plots import plot_roc_curves
from braintumor_ext.reporting import NONE, number, render_from, with_count, with_interval, with_median
from braintumor_ext.visualize import render_overlay, tile_pictures
from studies.external_set.predictions import SequencePredictions, true_mask
from studies.external_set.slices import ExternalSlice
from studies.external_set.summary import tumour_scores

COLUMNS, WIDTH = 3, 520
"""Pictures in a row of a sheet, and the width of each in pixels."""


def write_report(
    content: Mapping[str, Any],
    predictions: Mapping[str, SequencePredictions],
    slices: Mapping[str, Sequence[ExternalSlice]],
    predictor: Predictor,
    output: Path,
) -> None:
    """Write the report; each file takes the place of an earlier one.

    Args:
        content: what ``external_set.json`` holds: ``context``, ``note``, ``remarks`` and ``sequences``.
        predictions: by sequence.
        slices: by sequence.
        predictor: what predicted; it draws a few of the slices.
        output: the folder, made if it does not exist.
    """
    output.mkdir(parents=True, exist_ok=True)
    classes = predictor.classes
    curves = {
        f"{sequence}, P({display_name(name)})": (
            np.array([record.true_class != classes.empty_index for record in found.records]),
            score,
        )
        for sequence, found in predictions.items()
        if found.records
        for name, score in tumour_scores(found.records, classes).items()
    }
    plot_roc_curves(curves, output / "roc.png", "Slices with a tumour against slices without")
    for name, found in predictions.items():
        _draw_slices(
            _worth_seeing(found.records, classes.index(str(classes.empty))),
            slices[name],
            predictor,
            output / f"{name}.png",
        )
    with replacing(output / "per_slice.csv") as partial:
        records = [record for found in predictions.values() for record in found.records]
        write_records(records, partial, classes)
    write_text(output / "external_set.md", render_report(content))
    write_json(output / "external_set.json", jsonable(dict(content)))


def render_report(content: Mapping[str, Any]) -> str:
    """Return the Markdown report.

    Args:
        content: what ``external_set.json`` holds.
    """
    columns = [_cells(summary) for summary in content["sequences"].values()]
    labels = dict.fromkeys(label for cells in columns for label in cells)  # not every sequence has all classes
    return render_from(
        "studies.external_set",
        "external_set.md",
        **content,
        rows=[[label, *(cells.get(label, NONE) for cells in columns)] for label in labels],
    )


def _cells(summary: Mapping[str, Any]) -> dict[str, str]:
    """One sequence's cells by the label of their row."""
    gates = ("raw", "gated")
    return {
        "patients": str(summary["patients"]),
        "tumour slices; slices without": f"{summary['tumour_slices']}; {summary['no_tumour_slices']}",
        "left out: blank; not judged": f"{len(summary['blank'])}; {len(summary['failed'])}",
        **{f"AUC by P({display_name(name)})": with_interval(found) for name, found in summary["auc"].items()},
        "sensitivity: tumour slices called a tumour class": with_count(summary["sensitivity"]),
        "specificity: slices without tumour called so": with_count(summary["specificity"]),
        **{f"Dice of tumour slices, {gate}": with_median(summary["dice"][gate]) for gate in gates},
        **{
            f"{label}, {gate}": with_count(summary[name][gate])
            for name, label in (
                ("overlap", "tumour slices whose mask overlaps the tumour"),
                ("any_pixel", "tumour slices with any predicted pixel"),
                ("no_tumour_without_pixel", "slices without tumour and without a predicted pixel"),
            )
            for gate in gates
        },
        "tumour slices of unknown mask": str(summary["mask_unknown"]),
    }


def _worth_seeing(records: Sequence[SliceRecord], empty: int) -> dict[str, str]:
    """Return slices to draw and why: the best and worst Dice, and those without tumour that most look like one."""
    outlined = [record for record in records if record.true_class != empty and record.true_area_px > 0]
    # Of the many without any overlap, those that the model is surest to be without tumour.
    ranked = sorted(outlined, key=lambda record: (-record.dice, record.probabilities[empty]))
    clear = sorted((r for r in records if r.true_class == empty), key=lambda record: record.probabilities[empty])
    chosen = {record.image: f"best, Dice {number(record.dice, 2)}" for record in ranked[:COLUMNS]}
    chosen |= {record.image: f"worst, Dice {number(record.dice, 2)}" for record in ranked[COLUMNS:][-COLUMNS:]}
    chosen |= {
        record.image: f"no tumour, P(tumour) {number(1 - record.probabilities[empty], 2)}" for record in clear[:COLUMNS]
    }
    return chosen


def _draw_slices(chosen: Mapping[str, str], slices: Sequence[ExternalSlice], predictor: Predictor, path: Path) -> None:
    if not chosen:
        path.unlink(missing_ok=True)  # that of an earlier run
        return
    by_name, pictures = {item.name: item for item in slices}, []
    for name, title in chosen.items():
        item = by_name[name]
        prediction = predictor(item.path)
        assert prediction.image is not None
        assert prediction.mask is not None
        true = true_mask(item, predictor.classes, prediction.mask.shape)
        note = "; ".join(prediction.flags) or None
        words = f"{title}: {item.path.stem}"
        shown = render_overlay(prediction.image, prediction.mask, words, prediction.probabilities, true, note)
        pictures.append(Image.fromarray(shown))
    with replacing(path) as partial:
        tile_pictures(pictures, COLUMNS, WIDTH).save(partial, format="PNG")
