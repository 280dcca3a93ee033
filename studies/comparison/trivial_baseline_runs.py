"""The baselines as rows of a comparison: what is reached without a network, on the same splits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braintumor_ext.data.datalist import shown_name
from braintumor_ext.data.file_properties import FileProperties
from braintumor_ext.data.trivial_baselines import (
    TrivialBaseline,
    file_property_baseline,
    measure_items,
    nearest_neighbour_baseline,
)
from braintumor_ext.keys import CLASS, GROUP, IMAGE, UNKNOWN
from braintumor_ext.metrics import SliceRecord
from studies.comparison.model_runs import ModelRuns, Run
from studies.comparison.splits import Split

TITLES = {
    "nearest_neighbour": "trivial baseline: nearest neighbour on thumbnails",
    "file_properties": "trivial baseline: file properties only",
}


Measured = Mapping[str, tuple[np.ndarray, FileProperties]]
"""An image's path to its thumbnail and its file's properties."""


def measure_slices(items: Sequence[Mapping[str, Any]], dataset_dir: str | os.PathLike[str]) -> Measured:
    """Return what the baselines look at, of every slice of known class that can be read."""
    known = [item for item in items if item.get(CLASS, UNKNOWN) != UNKNOWN]
    measured = measure_items(dataset_dir, known)
    return {str(item[IMAGE]): found for item, found in zip(known, measured, strict=True) if found is not None}


def trivial_baseline_runs(
    splits: Sequence[Split], found: Measured, dataset_dir: str | os.PathLike[str], section: str, num_classes: int
) -> list[ModelRuns]:
    """Reckon both baselines on every split's section.

    Args:
        splits: of one protocol.
        found: of :func:`measure_slices`; other slices take no part.
        dataset_dir: the prepared data set, for the slices' names.
        section: what is evaluated, ``test`` or ``validation``.
        num_classes: K.
    """
    runs: dict[str, list[Run]] = {name: [] for name in TITLES}
    for split in splits:
        sides = [[i for i in split.sections[name] if str(i[IMAGE]) in found] for name in ("training", section)]
        if not all(sides):
            continue
        classes = [[int(item[CLASS]) for item in side] for side in sides]
        thumbnails = [np.stack([found[str(item[IMAGE])][0] for item in side]) for side in sides]
        files = [[found[str(item[IMAGE])][1] for item in side] for side in sides]
        baselines = {
            "nearest_neighbour": nearest_neighbour_baseline(thumbnails[0], classes[0], thumbnails[1], classes[1]),
            "file_properties": file_property_baseline(files[0], classes[0], files[1], classes[1]),
        }
        for name, baseline in baselines.items():
            records = _records(sides[1], baseline, dataset_dir, num_classes)
            runs[name].append(Run(split.name, split.seed, split.fold, records))
    return [ModelRuns(name, TITLES[name], "trivial baseline", len(splits), part) for name, part in runs.items()]


def _records(
    items: Sequence[Mapping[str, Any]], baseline: TrivialBaseline, dataset_dir: str | os.PathLike[str], num_classes: int
) -> list[SliceRecord]:
    """Return a baseline's predictions: a class without a probability, so all of it on that class, and no mask."""
    return [
        SliceRecord(
            image=shown_name(item, dataset_dir),
            group=item.get(GROUP),
            true_class=int(item[CLASS]),
            probabilities=tuple(float(index == predicted) for index in range(num_classes)),
            mask_predicted=False,
        )
        for item, predicted in zip(items, baseline.predictions, strict=True)
    ]
