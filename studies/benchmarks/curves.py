"""Tables drawn as curves: the median, with a band from the least to the most."""

from __future__ import annotations

from collections import defaultdict
from os import PathLike
from statistics import median

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from braintumor_ext.plots import line_style, new_figure, save_png
from studies.benchmarks.record import Table

Point = tuple[float, float, float, float]
"""x, median, least, most."""


def points(table: Table) -> dict[str, list[Point]]:
    """Return the lines of a table's curve, each by the labels that are not its x, in the order of x."""
    if table.curve is None:
        return {}
    place = list(table.labels).index(table.curve.x)
    lines: dict[str, list[Point]] = defaultdict(list)
    for row in table.rows:
        values = row.measures.get(table.curve.y)
        if values:
            name = ", ".join(str(label) for index, label in enumerate(row.labels) if index != place)
            lines[name].append((float(row.labels[place]), median(values), min(values), max(values)))
    return {name: sorted(line) for name, line in lines.items()}


def curve_figure(table: Table) -> Figure:
    """Return the figure of a table that has a ``curve``.

    Raises:
        ValueError: it has none.
    """
    if table.curve is None:
        raise ValueError(f"the table {table.name!r} has no curve")
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for index, (name, line) in enumerate(points(table).items()):
        x, middle, least, most = zip(*line, strict=True)
        look = line_style(index)
        axes.plot(x, middle, marker="o", markersize=4, linewidth=1.8, label=name, **look)
        axes.fill_between(x, least, most, color=look["color"], alpha=0.2, linewidth=0)
    if table.curve.log:
        axes.set(xscale="log", yscale="log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.set_xticks(sorted({point[0] for line in points(table).values() for point in line}))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=table.curve.x, ylabel=table.curve.y, title=table.title)
    axes.grid(color="0.9", which="both")
    axes.set_axisbelow(True)
    axes.legend(fontsize=9)
    return figure


def draw_curve(table: Table, path: str | PathLike[str]) -> None:
    """Write the PNG of a table that has a ``curve``."""
    save_png(curve_figure(table), path)
