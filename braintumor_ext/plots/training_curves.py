"""A plot of how a training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from braintumor_ext.plots.style import add_grid, line_style, new_figure, save_png

History = Mapping[str, Sequence[tuple[int, float]]]


def plot_training_curves(
    history: History, path: str | PathLike[str], title: str = "", key_metric: str = "val_score"
) -> None:
    """Write a PNG with panels for the losses, the metrics and the learning rate, as far as there is something to show.

    Args:
        history: the curve's name to its (epoch, value) points. A name with ``loss`` in it is a loss, one with
            ``learning_rate`` or ``lr`` as a word is a learning rate, all else is a metric in [0, 1].
        path: the PNG file.
        title: a line above the panels.
        key_metric: the curve whose best epoch is marked.
    """
    save_png(training_figure(history, title, key_metric), path)


def training_figure(history: History, title: str = "", key_metric: str = "val_score") -> Figure:
    """Return the figure that ``plot_training_curves`` writes."""
    panels = [(kind, {n: p for n, p in history.items() if _kind(n) == kind}) for kind in ("loss", "metric", "rate")]
    panels = [(kind, curves) for kind, curves in panels if any(curves.values())] or [("metric", {})]
    figure = new_figure(0.4 + 4.6 * len(panels), 4.1)
    if title:
        figure.suptitle(title)
    for axes, (kind, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, kind, curves, key_metric)
    return figure


def _kind(name: str) -> str:
    words = name.lower().replace("-", "_").split("_")
    if "lr" in words or "learning_rate" in name.lower():
        return "rate"
    return "loss" if "loss" in words else "metric"


def _draw_panel(axes: Axes, kind: str, curves: History, key_metric: str) -> None:
    for index, (name, points) in enumerate(curves.items()):
        finite = [(epoch, value) for epoch, value in points if np.isfinite(value)]
        if not finite:
            continue
        epochs, values = zip(*finite, strict=True)
        axes.plot(
            epochs,
            values,
            **line_style(index),
            # A single epoch is a point, and a line through one point is invisible.
            marker="o" if len(epochs) <= 20 else None,
            markersize=4,
            linewidth=1.8,
            label=name.replace("_", " "),
        )
        if name == key_metric:
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
