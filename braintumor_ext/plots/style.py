"""The style of all plots: figures without global state, lines told apart by colour and dash, a pale grid."""

from __future__ import annotations

from os import PathLike
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.files import replacing

DPI = 130
LINE_STYLES = ("-", "--", "-.", ":")  # a second mark beside the colour, for prints in grey


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, so many inches wide and high, that lays itself out."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture_grid(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """Return a figure for pictures, so many inches wide and high, and its bare axes, (rows, columns)."""
    figure = new_figure(width, height)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, grid


def line_style(index: int) -> dict[str, Any]:
    """Return the ``color`` and ``linestyle`` of a plot's line of this index."""
    return {"color": OKABE_ITO[index % len(OKABE_ITO)], "linestyle": LINE_STYLES[index % len(LINE_STYLES)]}


def add_grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Draw a pale grid behind what is plotted."""
    axes.grid(color="0.9", axis=axis)
    axes.set_axisbelow(True)


def save_png(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all, with the same bytes for the same figure."""
    # The version of matplotlib in the file would change its bytes from machine to machine.
    metadata: dict[str, Any] = {"Software": None}
    with replacing(path) as partial:
        figure.savefig(partial, format="png", metadata=metadata)
