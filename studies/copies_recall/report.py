"""The recall of the search for copies as files: copies_recall.json, .md and .png."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.files import write_json, write_text
from braintumor_ext.jsonable import jsonable
from braintumor_ext.plots import add_grid, new_figure, save_png
from braintumor_ext.reporting import render_from


def write_json_and_text(content: Mapping[str, Any], text: str, output: Path, name: str) -> None:
    """Write ``<name>.json`` and ``<name>.md``; each takes the place of an earlier one."""
    write_json(output / f"{name}.json", jsonable(dict(content)))
    write_text(output / f"{name}.md", text)


def render_recall(content: Mapping[str, Any]) -> str:
    """Return the Markdown report of recall and false alarms.

    Args:
        content: what ``copies_recall.json`` holds: ``context``, ``kinds`` and ``false_alarms``.
    """
    return render_from("studies.copies_recall", "copies_recall.md", **content)


def render_scale(content: Mapping[str, Any]) -> str:
    """Return the Markdown report of a timed search.

    Args:
        content: what ``copies_scale.json`` holds: ``context`` and ``search``.
    """
    return render_from("studies.copies_recall", "copies_scale.md", **content)


def draw_recall(kinds: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write a PNG with a bar and its 95% interval for each kind of copy.

    Args:
        kinds: of ``recall_by_kind``.
        path: the PNG file.
    """
    figure = new_figure(8, 0.34 * len(kinds) + 1.2)
    axes = figure.add_subplot()
    for place, found in enumerate(kinds.values()):
        axes.barh(place, found["recall"], 0.7, color=OKABE_ITO[1], alpha=0.85)
        axes.plot(found["ci95"], [place, place], color="black", marker="|", linewidth=1.3, clip_on=False)
        axes.text(0.01, place, f"{found['found']} of {found['n']}", va="center", fontsize=8, color="white")
    axes.set_yticks(range(len(kinds)), list(kinds))
    axes.set(xlim=(0, 1), ylim=(len(kinds) - 0.4, -0.6), xlabel="share of the copies that are found, 95% interval")
    axes.set_title("Recall of the search for copies")
    add_grid(axes, "x")
    axes.spines[["top", "right"]].set_visible(False)
    save_png(figure, path)
