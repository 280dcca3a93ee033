"""Plots of an evaluation: which classes are taken for which, ROC curves, how right the model is when it is sure."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay, auc, roc_curve

from braintumor_ext.classes import Classes, display_name
from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.metrics.calibration import ReliabilityBins
from braintumor_ext.plots.style import add_grid, line_style, new_figure, save_png


def plot_confusion_matrix(confusion: np.ndarray, classes: Classes, path: str | PathLike[str], title: str = "") -> None:
    """Write a PNG with the counts (K, K), true by predicted class, and, as colour and percentage, the shares."""
    confusion = np.asarray(confusion)
    support = confusion.sum(1, keepdims=True)
    share = np.divide(confusion, support, out=np.zeros(confusion.shape), where=support > 0)
    names, size = [display_name(name) for name in classes], len(classes)
    figure = new_figure(3.2 + 0.95 * size, 2.2 + 0.85 * size)
    axes = figure.add_subplot()
    shown = ConfusionMatrixDisplay(share).plot(
        ax=axes, cmap="cividis", im_kw={"vmin": 0, "vmax": 1}, text_kw={"fontsize": 11}, colorbar=False
    )
    for (row, column), text in np.ndenumerate(shown.text_):
        percent = f"\n{share[row, column]:.0%}" if support[row, 0] else ""
        colour = "black" if share[row, column] > 0.55 else "white"
        text.set(text=f"{confusion[row, column]}{percent}", color=colour)
    axes.set_xticks(range(size), names, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), [f"{name} ({n})" for name, n in zip(names, support[:, 0], strict=True)])
    axes.set(xlabel="predicted class", ylabel="true class (slices)", title=title or "Confusion matrix")
    figure.colorbar(shown.im_, ax=axes, label="share of the true class", shrink=0.85)
    save_png(figure, path)


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


def plot_reliability(bins: ReliabilityBins, path: str | PathLike[str], title: str = "") -> None:
    """Write a PNG with accuracy against confidence in each bin, and the share of slices in it below."""
    edges, used = bins.edges, bins.count > 0
    width, centre = np.diff(edges), (edges[:-1] + edges[1:]) / 2
    confidence, accuracy = (np.divide(s[used], bins.count[used]) for s in (bins.confidence, bins.correct))
    figure = new_figure(5.6, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.bar(
        centre[used], accuracy, width[used], color=OKABE_ITO[5], edgecolor="white", label="accuracy of the bin's slices"
    )
    upper.plot([0, 1], [0, 1], color="0.4", linestyle="--", label="perfect calibration")
    upper.vlines(confidence, accuracy, confidence, color=OKABE_ITO[4], linewidth=2, label="gap to the mean confidence")
    upper.plot(confidence, accuracy, "o", color=OKABE_ITO[4], markersize=4)
    error = float(bins.expected_calibration_error())
    text = "no slice of known class" if np.isnan(error) else f"expected calibration error {error:.3f}"
    upper.set_title(f"{title or 'Reliability of the top label'}\n{text}")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="upper left", fontsize=9)
    lower.bar(centre, bins.count / max(bins.count.sum(), 1), width, color="0.55", edgecolor="white")
    lower.set(xlabel="confidence (highest class probability)", ylabel="share of slices")
    for axes in (upper, lower):
        add_grid(axes)
    save_png(figure, path)
