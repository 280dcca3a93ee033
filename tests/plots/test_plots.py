"""Plots are drawn whole or not at all, whatever the numbers; what they show was looked at by people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot
import numpy as np
import pytest
from PIL import Image

from braintumor_ext.classes import Classes
from braintumor_ext.metrics.calibration import reliability_bins
from braintumor_ext.plots import (
    plot_confusion_matrix,
    plot_reliability,
    plot_roc_curves,
    plot_training_curves,
    training_figure,
)

CLASSES = Classes(("glioma", "no_tumor", "a class of a rather long name"))
TRUE = np.array([0, 0, 1, 1, 0])
SHARES = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [1.0, 0.0, 0.0]])
NO_SHARES, NO_TRUE = np.zeros((0, 3)), np.array([], dtype=int)
CURVES = {name: (index == TRUE, SHARES[:, index]) for index, name in enumerate(CLASSES)}
HISTORY = {
    "train_loss": [(1, 0.9), (2, 0.7), (3, float("nan"))],
    "val_score": [(1, 0.2), (2, 0.5), (3, 0.4)],
    "learning_rate": [(1, 1e-3), (2, 5e-4), (3, 1e-5)],
}

PLOTS: dict[str, Callable[[Path], None]] = {
    "confusion matrix": lambda path: plot_confusion_matrix(np.array([[5, 1, 0], [2, 9, 3], [0, 0, 4]]), CLASSES, path),
    "confusion matrix with a class without slices": lambda path: plot_confusion_matrix(
        np.eye(3, dtype=int) * 0, CLASSES, path
    ),
    "ROC curves, one undefined": lambda path: plot_roc_curves(CURVES, path),
    "ROC curves of one class": lambda path: plot_roc_curves({"glioma": (TRUE == 5, SHARES[:, 0])}, path),
    "ROC curves of nothing": lambda path: plot_roc_curves({"glioma": (NO_TRUE == 0, NO_SHARES[:, 0])}, path),
    "reliability": lambda path: plot_reliability(reliability_bins(TRUE, SHARES), path, "a title"),
    "reliability of nothing": lambda path: plot_reliability(reliability_bins(NO_TRUE, NO_SHARES), path),
    "training": lambda path: plot_training_curves(HISTORY, path),
    "training of one epoch": lambda path: plot_training_curves({"val_score": [(1, 0.5)]}, path),
    "training without an epoch": lambda path: plot_training_curves({}, path),
}


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.filterwarnings("error")
def test_a_picture_is_written_without_a_warning_and_without_global_state(name: str, tmp_path: Path) -> None:
    PLOTS[name](tmp_path / "plot.png")
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
    assert np.asarray(Image.open(tmp_path / "plot.png").convert("L")).std() > 1
    assert matplotlib.pyplot.get_fignums() == []


def test_losses_metrics_and_learning_rate_stand_in_panels_of_their_own() -> None:
    panels = training_figure(HISTORY).axes
    assert [axes.get_title() for axes in panels] == ["Loss", "Validation metrics", "Learning rate"]
    np.testing.assert_array_equal(panels[0].lines[0].get_xydata(), [[1, 0.9], [2, 0.7]])
    np.testing.assert_array_equal(panels[2].lines[0].get_xydata(), HISTORY["learning_rate"])


def test_the_key_metrics_first_best_epoch_is_marked() -> None:
    history = {"val_accuracy": [(1, 0.9)], "val_score": [(1, 0.2), (2, 0.5), (3, 0.5)]}
    labels = [line.get_label() for line in training_figure(history).axes[0].lines]
    assert "best: epoch 2" in labels
