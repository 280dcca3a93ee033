"""Plots of an evaluation of maps: deletion and insertion curves, and the sanity checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from braintumor_ext.plots.style import add_grid, line_style, new_figure, save_png

_GREYS = ("0.55", "0.3")
_MARKERS = ("o", "s", "^", "D", "v")


def plot_perturbation_curves(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    names: Mapping[str, str],
    baselines: Sequence[str],
    path: str | PathLike[str],
    title: str = "",
) -> None:
    """Write a PNG of the mean deletion and insertion curves, methods in colour and baselines in dotted grey.

    Args:
        curves: the map's name to ``deletion`` and ``insertion``: S + 1 probabilities in [0, 1].
    """
    figure = new_figure(10.4, 4.6)
    if title:
        figure.suptitle(title)
    told = {"deletion": "Deletion: the lower the better", "insertion": "Insertion: the higher the better"}
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (kind, heading) in zip(panels, told.items(), strict=True):
        for name, style in _styles(list(curves), baselines).items():
            values = np.asarray(curves[name][kind])
            shares = np.linspace(0, 1, len(values))
            area = np.sum((values[1:] + values[:-1]) / 2) / (len(values) - 1)
            axes.plot(shares, values, label=f"{names[name]}: {area:.3f}", markevery=2, **style)
        axes.set(xlabel=f"share of pixels {'deleted' if kind == 'deletion' else 'given back'}", xlim=(0, 1))
        _finish(axes, f"{heading}\n(the legend gives the area)")
        axes.set_ylim(0, 1.02)
    panels[0].set_ylabel("mean probability of the explained class")
    save_png(figure, path)


def plot_sanity(
    sanity: Mapping[str, Any], names: Mapping[str, str], path: str | PathLike[str], title: str = ""
) -> None:
    """Write a PNG of how alike maps remain while weights are randomised, with the limit and 95% intervals.

    ``sanity`` is the section of that name in ``explanations.json``; ``names`` are the methods' as they are shown.
    """
    figure = new_figure(10.4, 4.6)
    if title:
        figure.suptitle(title)
    panels = figure.subplots(1, 2, sharey=True)
    stages = sanity["stages"]
    for axes, (kind, label) in zip(panels, (("spearman", "Spearman correlation"), ("ssim", "SSIM")), strict=True):
        axes.axhspan(sanity["limit"], 1, color="0.92", zorder=0)
        axes.axhline(sanity["limit"], color="0.4", linewidth=1)
        count = len(sanity["methods"])
        for index, (name, style) in enumerate(_styles(list(sanity["methods"]), ()).items()):
            estimates = [stage[kind] for stage in sanity["methods"][name]]
            places = np.arange(1, len(stages) + 1) + 0.08 * (index - (count - 1) / 2)  # intervals side by side
            values = np.array([np.nan if e["value"] is None else e["value"] for e in estimates])
            ends = np.array([e["ci95"] or [v, v] for e, v in zip(estimates, values, strict=True)]).reshape(-1, 2)
            axes.plot([0, *places], [1, *values], label=names[name], **style)
            axes.vlines(places, ends[:, 0], ends[:, 1], color=style["color"], linewidth=1.2, alpha=0.7)
        axes.set_xticks(range(len(stages) + 1), ["trained", *stages], rotation=30, ha="right")
        axes.set(xlabel="randomised from the head down to ...")
        _finish(axes, label)
    lowest = min(axes.get_ylim()[0] for axes in panels)
    panels[0].set(ylabel="mean similarity to the trained model's map", ylim=(min(-0.3, lowest), 1.03))
    for axes in panels:
        told = axes.text(0.985, 0.955, "not trustworthy if it ends in the grey", ha="right", va="top", fontsize=9)
        told.set(transform=axes.transAxes, bbox={"facecolor": "0.92", "edgecolor": "none", "pad": 2})
    save_png(figure, path)


def _styles(names: Sequence[str], baselines: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, line and marker of each map: told apart without colour too."""
    methods = [name for name in names if name not in baselines]
    styles: dict[str, dict[str, Any]] = {
        name: {**line_style(i), "marker": _MARKERS[i % len(_MARKERS)], "markersize": 4.5, "linewidth": 1.8}
        for i, name in enumerate(methods)
    }
    for i, name in enumerate(name for name in names if name in baselines):
        grey = _GREYS[i % len(_GREYS)]
        styles[name] = {"color": grey, "linestyle": (0, (1, 1.5)), "marker": "x+"[i % 2], "linewidth": 1.8}
    return styles


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=11)
    add_grid(axes)
    axes.legend(fontsize=9)
