"""A picture of a comparison: every model's scores as bars with their intervals, beside what needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator

from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.plots import add_grid, new_figure, save_png

_COLOURS = (OKABE_ITO[1], OKABE_ITO[5], OKABE_ITO[0])
_HATCHES = ("", "", "//")  # a second mark beside the colour, for prints in grey
_DASHES = ((0, (5, 2)), (0, (1, 1.3)), (0, (5, 1.5, 1, 1.5)))
_ROW = 0.42
"""Inches of a model's row."""
_LEGEND_LINE = 14
"""Points of a line of the legend."""
_LINE: dict[str, Any] = {
    "linewidth": 1.4,
    "zorder": 3,
    "path_effects": [withStroke(linewidth=3, foreground="white", alpha=0.75)],  # seen on dark bars, too
}


@dataclass(frozen=True)
class BarRow:
    """A model in a panel.

    Args:
        name: as it is shown.
        estimates: the metric's name to ``value`` and ``ci95`` ([lower, upper]) in [0, 1]; None where undefined, and
            no bar where ``value`` is.
        published: a published accuracy in [0, 1]; None if there is none.
    """

    name: str
    estimates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    published: float | None = None


@dataclass(frozen=True)
class BarPanel:
    """A protocol.

    Args:
        title: the panel's heading.
        rows: the models from top to bottom.
        trivial_baselines: the name of each to its accuracy in [0, 1].
    """

    title: str
    rows: Sequence[BarRow]
    trivial_baselines: Mapping[str, float] = field(default_factory=dict)


def plot_comparison_bars(
    panels: Sequence[BarPanel], metrics: Sequence[str], path: str | PathLike[str], title: str = ""
) -> None:
    """Write a PNG with a panel for each protocol: bars with 95% intervals, baselines as dashed lines.

    Args:
        panels: at least one.
        metrics: the metrics' names in the order of the bars, at most three.
        path: the PNG file.
        title: a line above the panels.
    """
    save_png(comparison_figure(panels, metrics, title), path)


def comparison_figure(panels: Sequence[BarPanel], metrics: Sequence[str], title: str = "") -> Figure:
    """Return the figure of :func:`plot_comparison_bars`.

    Raises:
        ValueError: there is no panel, or more metrics than colours.
    """
    if not panels or len(metrics) > len(_COLOURS):
        raise ValueError(
            f"{len(panels)} panels, {len(metrics)} metrics: give at least one panel, at most three metrics"
        )
    heights = [max(len(p.rows), 1) * _ROW + 0.75 + len(p.trivial_baselines) * _LEGEND_LINE / 72 for p in panels]
    figure = new_figure(9.6, sum(heights) + 1.1)
    if title:
        figure.suptitle(title, fontweight="bold")
    places = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, panel in zip(places, panels, strict=True):
        _draw(axes, panel, metrics)
    places[-1].set_xlabel("score, with its 95% interval")
    any_published = any(row.published is not None for panel in panels for row in panel.rows)
    figure.legend(handles=_handles(metrics, any_published), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def _draw(axes: Axes, panel: BarPanel, metrics: Sequence[str]) -> None:
    thickness = 0.8 / len(metrics)
    for place, row in enumerate(panel.rows):
        for index, metric in enumerate(metrics):
            estimate = row.estimates.get(metric)
            if estimate is None or estimate["value"] is None:
                continue
            height = place - 0.4 + (index + 0.5) * thickness
            axes.barh(height, estimate["value"], thickness * 0.92, **_look(index))
            if estimate["ci95"] is not None:
                axes.plot(
                    estimate["ci95"], [height, height], color="black", marker="|", markersize=5, clip_on=False, **_LINE
                )
        if row.published is not None:
            height = place - 0.4 + 0.5 * thickness
            axes.plot(row.published, height, "D", color=OKABE_ITO[4], markeredgecolor="white", markersize=7, zorder=4)
    for index, (name, value) in enumerate(panel.trivial_baselines.items()):
        axes.axvline(
            value,
            color="0.15",
            linestyle=_DASHES[index % len(_DASHES)],
            label=f"{name}, accuracy {value:.3f}",
            **_LINE,
        )
    axes.set_yticks(range(len(panel.rows)), [row.name for row in panel.rows])
    axes.set(xlim=(0, 1), ylim=(max(len(panel.rows), 1) - 0.45, -0.55))
    axes.set_title(panel.title, fontsize=11, loc="left", pad=6 + len(panel.trivial_baselines) * _LEGEND_LINE)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelbottom=True)
    axes.xaxis.set_major_locator(MultipleLocator(0.1))
    add_grid(axes, "x")
    axes.spines[["top", "right", "left"]].set_visible(False)
    if panel.trivial_baselines:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), fontsize=8.5, frameon=False, borderaxespad=0.1)


def _look(index: int) -> dict[str, Any]:
    return {"facecolor": _COLOURS[index], "hatch": _HATCHES[index], "edgecolor": "white", "linewidth": 0.4}


def _handles(metrics: Sequence[str], any_published: bool) -> list[Any]:
    handles: list[Any] = [Patch(**_look(index), label=metric) for index, metric in enumerate(metrics)]
    handles.append(Line2D([], [], color="black", marker="|", linewidth=1.3, label="95% interval"))
    if any_published:
        mark: dict[str, Any] = {"marker": "D", "linestyle": "none", "color": OKABE_ITO[4], "markeredgecolor": "white"}
        handles.append(Line2D([], [], **mark, label="published accuracy"))
    return handles
