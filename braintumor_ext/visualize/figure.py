"""Matplotlib figures without global state."""

from __future__ import annotations

from os import PathLike
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from braintumor_ext.files import replacing

DPI = 130


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure that lays itself out.

    Args:
        width: inches.
        height: inches.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all, with the same bytes for the same figure.

    Args:
        figure: the figure.
        path: the file.
    """
    # The version of matplotlib in the file would change its bytes from machine to machine.
    metadata: dict[str, Any] = {"Software": None}
    with replacing(path) as partial:
        figure.savefig(partial, format="png", metadata=metadata)
