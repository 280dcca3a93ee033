"""A plot of ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import numpy as np
from sklearn.metrics import RocCurveDisplay, auc, roc_curve

from braintumor_ext.plots.style import add_grid, line_style, new_figure, save_png


def plot_roc_curves(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], path: str | PathLike[str], title: str = ""
) -> None:
    """Write a PNG with the curve of each of some rankings; one that is undefined is named in the legend.

    Args:
        curves: the curve's name to which slices are positive, (N,) bool, and their scores, (N,), high for positive.
    """
    figure = new_figure(6.2, 5.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=(0, (1, 3)), label="chance")
    for index, (name, (positive, score)) in enumerate(curves.items()):
        false_rate, true_rate, area = np.array([]), np.array([]), "undefined"
        if positive.any() and not positive.all():
            false_rate, true_rate, _ = roc_curve(positive, score)
            area = f"AUC {auc(false_rate, true_rate):.3f}"
        shown = RocCurveDisplay(fpr=false_rate, tpr=true_rate).plot(ax=axes)
        shown.line_.set(**line_style(index), linewidth=2, label=f"{name}: {area} (n = {positive.sum()})")
    axes.set(xlabel="false-positive rate (1 - specificity)", ylabel="true-positive rate (sensitivity)")
    axes.set_title(title or "ROC curves, one class against the rest")
    axes.legend(loc="lower right")
    add_grid(axes)
    save_png(figure, path)
