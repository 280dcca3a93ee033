"""A plot of how far real slices and other pictures lie from the training's slices."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import numpy as np
from matplotlib.ticker import NullFormatter

from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.plots.style import add_grid, line_style, new_figure, save_png

BINS = 40
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


def plot_scores(
    slices: Mapping[str, np.ndarray], probes: Mapping[str, np.ndarray], threshold: float, path: str | PathLike[str]
) -> None:
    """Write a PNG with the scores of real slices by class above, and those of other pictures by kind below.

    All are (n,) above 0; beyond the threshold an input is flagged.
    """
    everything = np.concatenate([threshold * np.array([0.99, 1.01]), *slices.values(), *probes.values()])
    edges = np.geomspace(max(everything.min(), 1e-3) * 0.95, everything.max() * 1.05, BINS + 1)
    figure = new_figure(7.0, 4.2 + 0.25 * len(probes))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 0.4 + 0.27 * len(probes)])
    for index, (name, scores) in enumerate(slices.items()):
        upper.hist(scores, edges, histtype="step", linewidth=1.8, label=name, **line_style(index))
    upper.set(ylabel="slices of the validation section")
    upper.set_title("How far inputs lie from the training's slices")
    for row, (_, scores) in enumerate(probes.items()):
        lower.plot(scores, np.full(len(scores), row), "|", color="black", markersize=9)
    lower.set_yticks(range(len(probes)), list(probes))
    lower.set_ylim(len(probes) - 0.5, -0.5)
    lower.set(xscale="log", xlabel="score: standardised distance from the training's slices (logarithmic)")
    ticks = [tick for tick in TICKS if edges[0] <= tick <= edges[-1]]
    lower.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    lower.xaxis.set_minor_formatter(NullFormatter())
    for axes in (upper, lower):
        axes.axvline(threshold, color=OKABE_ITO[4], linestyle="--", label="threshold: unusual beyond it")
        add_grid(axes, "x")
    upper.legend(fontsize=9)
    save_png(figure, path)
