"""A picture of each class's ROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
from sklearn.metrics import auc, roc_curve

from braintumor_ext.data.classes import display_name
from braintumor_ext.visualize.colours import LINE_STYLES, OKABE_ITO
from braintumor_ext.visualize.figure import new_figure, save_png


def plot_roc_curves(
    true: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], path: str | PathLike[str], title: str = ""
) -> None:
    """Write a PNG with one curve for each class against all others; a class that has none is named in the legend.

    Args:
        true: (N,) class indices, all known.
        probabilities: (N, K) class probabilities.
        class_names: the K class names in the order of their indices.
        path: the PNG file.
        title: a line above the curves.
    """
    figure = new_figure(6.2, 5.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=(0, (1, 3)), label="chance")
    for index, name in enumerate(class_names):
        positive = np.asarray(true) == index
        colour, style = OKABE_ITO[index % len(OKABE_ITO)], LINE_STYLES[index % len(LINE_STYLES)]
        if positive.all() or not positive.any():
            axes.plot(
                [], [], color=colour, linestyle=style, label=f"{display_name(name)}: undefined (n = {positive.sum()})"
            )
            continue
        false_rate, true_rate, _ = roc_curve(positive, probabilities[:, index])
        label = f"{display_name(name)}: AUC {auc(false_rate, true_rate):.3f} (n = {positive.sum()})"
        axes.plot(false_rate, true_rate, color=colour, linestyle=style, linewidth=2, label=label)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set_xlabel("false-positive rate (1 - specificity)")
    axes.set_ylabel("true-positive rate (sensitivity)")
    axes.set_title(title or "ROC curves, one class against the rest")
    axes.legend(loc="lower right")
    axes.grid(color="0.9")
    save_png(figure, path)
