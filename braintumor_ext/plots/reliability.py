"""A plot of how often the model is right when it says how sure it is."""

from __future__ import annotations

from os import PathLike

import numpy as np

from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.metrics.calibration import ReliabilityBins
from braintumor_ext.plots.style import add_grid, new_figure, save_png


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
