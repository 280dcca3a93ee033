"""Trivial baselines: what a trained network must clearly beat on a split before its accuracy means anything.

The nearest neighbour shows how much of a split can be solved by finding a look-alike in training (slices of one patient
on both sides); the file properties how much by looking at no pixel at all (classes from different sources).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from braintumor_ext.data.file_properties import FileProperties, file_properties, read_items_csv
from braintumor_ext.data.in_threads import map_in_threads
from braintumor_ext.data.thumbnails import thumbnail, unit_vectors
from braintumor_ext.errors import InputError
from braintumor_ext.keys import CLASS, IMAGE, SLICE, UNKNOWN
from braintumor_ext.transforms import read_grey

_MIN_SAMPLES_LEAF = 5


@dataclass(frozen=True)
class TrivialBaseline:
    """The outcome of a baseline on one split: accuracy in [0, 1], and the predicted class index of n slices."""

    accuracy: float
    predictions: list[int]
    n: int

    @classmethod
    def of(cls, predictions: np.ndarray, classes: Sequence[int]) -> TrivialBaseline:
        """Score predictions against the true class indices."""
        return cls(float(np.mean(predictions == np.asarray(classes))), [int(p) for p in predictions], len(classes))


def nearest_neighbour_baseline(
    train_thumbnails: np.ndarray, train_classes: Sequence[int], test_thumbnails: np.ndarray, test_classes: Sequence[int]
) -> TrivialBaseline:
    """Classify each test slice as the training slice whose thumbnail, (48, 48), correlates best with its own."""
    correlation = unit_vectors(test_thumbnails) @ unit_vectors(train_thumbnails).T
    return TrivialBaseline.of(np.asarray(train_classes)[correlation.argmax(axis=1)], test_classes)


def file_property_baseline(
    train_files: Sequence[FileProperties],
    train_classes: Sequence[int],
    test_files: Sequence[FileProperties],
    test_classes: Sequence[int],
) -> TrivialBaseline:
    """Classify each test slice by its file's width, height, mode and size in bytes alone (a decision tree)."""
    modes = {mode: number for number, mode in enumerate(sorted({f.mode for f in train_files}))}

    def table(files: Sequence[FileProperties]) -> np.ndarray:
        return np.array([[f.width, f.height, modes.get(f.mode, UNKNOWN), f.bytes] for f in files], dtype=np.float64)

    tree = DecisionTreeClassifier(min_samples_leaf=_MIN_SAMPLES_LEAF, random_state=0)
    tree.fit(table(train_files), np.asarray(train_classes))
    return TrivialBaseline.of(tree.predict(table(test_files)), test_classes)


@dataclass(frozen=True)
class MeasuredSlices:
    """What baselines look at of N slices."""

    thumbnails: Sequence[np.ndarray]  # (48, 48) each
    files: Sequence[FileProperties]  # of their source files
    classes: Sequence[int]  # class indices


def measure_baselines(training: MeasuredSlices, test: MeasuredSlices, left_out: int = 0) -> dict[str, dict[str, Any]]:
    """Return both baselines as reports and metrics.json carry them; empty where one side has no slices.

    ``left_out`` test slices could not be read.
    """
    if not training.classes or not test.classes:
        return {}
    nearest = nearest_neighbour_baseline(
        np.stack(training.thumbnails), training.classes, np.stack(test.thumbnails), test.classes
    )
    by_files = file_property_baseline(training.files, training.classes, test.files, test.classes)
    return {
        name: {"accuracy": baseline.accuracy, "n": baseline.n, "n_left_out": left_out}
        for name, baseline in (("nearest_neighbour", nearest), ("file_properties", by_files))
    }


def trivial_baselines_for(
    dataset_dir: str | os.PathLike[str],
    training: Sequence[Mapping[str, Any]],
    test: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Measure both baselines from training to test items of a loaded datalist.

    File properties come from ``items.csv`` in the data set's folder where it lists an image (they are the source
    file's, which a compact copy hides), else from the file itself. Items of unknown class take no part. Return
    ``{"nearest_neighbour": {"accuracy", "n", "n_left_out"}, "file_properties": {...}}``, empty where one side has no
    readable image of a known class.
    """
    sides = [[item for item in side if item.get(CLASS, UNKNOWN) != UNKNOWN] for side in (training, test)]
    read = iter(measure_items(dataset_dir, [item for side in sides for item in side]))
    measured = []
    for side in sides:
        known = [(*found, int(item[CLASS])) for item in side if (found := next(read)) is not None]
        measured.append(MeasuredSlices([t for t, _, _ in known], [f for _, f, _ in known], [c for _, _, c in known]))
    return measure_baselines(measured[0], measured[1], left_out=len(sides[1]) - len(measured[1].classes))


def measure_items(
    dataset_dir: str | os.PathLike[str], items: Sequence[Mapping[str, Any]]
) -> list[tuple[np.ndarray, FileProperties] | None]:
    """Return each item's thumbnail (48, 48) and source file's properties; None for one that cannot be read."""
    listed = read_items_csv(dataset_dir)

    def measure(item: Mapping[str, Any]) -> tuple[np.ndarray, FileProperties] | None:
        try:
            grey = read_grey(item[IMAGE], item.get(SLICE))
        except InputError:
            return None
        path = Path(os.path.normpath(item[IMAGE]))
        return thumbnail(grey), listed.get(path) or file_properties(path)

    return map_in_threads(measure, items, "trivial baselines", leave=False)
