"""A plot of which classes are taken for which."""

from __future__ import annotations

from os import PathLike

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

from braintumor_ext.classes import Classes, display_name
from braintumor_ext.plots.style import new_figure, save_png


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
