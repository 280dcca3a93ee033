"""A plot of how a training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from braintumor_ext.plots.style import add_grid, line_style, new_figure, save_png

KEY_METRIC = "val_score"  # the curve whose best epoch is marked
History = Mapping[str, Sequence[tuple[int, float]]]


def plot_training_curves(history: History, path: str | PathLike[str]) -> None:
    """Write a PNG of the curves of :func:`training_figure`."""
    save_png(training_figure(history), path)


def training_figure(history: History) -> Figure:
    """Draw panels for the losses, the metrics and the learning rate, as far as there is something to show.

    Args:
        history: the curve's name to its (epoch, value) points. A name with ``loss`` in it is a loss, one with
            ``learning_rate`` or ``lr`` as a word is a learning rate, all else is a metric in [0, 1].
    """
    panels = [(kind, {n: p for n, p in history.items() if _kind(n) == kind}) for kind in ("loss", "metric", "rate")]
    panels = [(kind, curves) for kind, curves in panels if any(curves.values())] or [("metric", {})]
    figure = new_figure(0.4 + 4.6 * len(panels), 4.1)
    for axes, (kind, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, kind, curves)
    return figure


def _kind(name: str) -> str:
    words = name.lower().replace("-", "_").split("_")
    if "lr" in words or "learning_rate" in name.lower():
        return "rate"
    return "loss" if "loss" in words else "metric"


def _draw_panel(axes: Axes, kind: str, curves: History) -> None:
    for index, (name, points) in enumerate(curves.items()):
        finite = [(epoch, value) for epoch, value in points if np.isfinite(value)]
        if not finite:
            continue
        epochs, values = zip(*finite, strict=True)
        marker = "o" if len(epochs) <= 20 else None  # a line through a single epoch's point is invisible
        looks: dict[str, Any] = {**line_style(index), "marker": marker, "markersize": 4, "linewidth": 1.8}
        axes.plot(epochs, values, **looks, label=name.replace("_", " "))
        if name == KEY_METRIC:
            _mark_best(axes, finite)
    axes.set_title({"loss": "Loss", "metric": "Validation metrics", "rate": "Learning rate"}[kind])
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left, right = axes.get_xlim()
    if right - left < 1:  # a single epoch: its axis would be divided into hundredths of an epoch
        axes.set_xlim((left + right) / 2 - 1, (left + right) / 2 + 1)
    if kind == "metric":
        axes.set_ylim(0, 1.02)
    elif kind == "rate":
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
    add_grid(axes)
    if axes.lines:
        axes.legend(fontsize=9)


def _mark_best(axes: Axes, points: Sequence[tuple[int, float]]) -> None:
    epoch, value = max(points, key=lambda point: point[1])
    axes.axvline(epoch, color="0.5", linewidth=1, linestyle=(0, (1, 3)))
    axes.plot(epoch, value, marker="*", markersize=13, color="black", linestyle="none", label=f"best: epoch {epoch}")
