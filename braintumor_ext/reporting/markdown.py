"""Numbers and tables as Markdown, the same in all reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "–"
"""What stands for an undefined number."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table.

    Args:
        header: the columns' names.
        rows: as many cells each.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits behind the point; ``NONE`` for None and NaN."""
    return NONE if value is None or value != value else f"{value:.{digits}f}"


def with_interval(estimate: Mapping[str, Any], digits: int = 3) -> str:
    """Return an estimate, ``value`` and ``ci95``, as ``0.898 (0.832 to 0.952)``; None has no interval."""
    if estimate["value"] is None or estimate["ci95"] is None:
        return number(estimate["value"], digits)
    lower, upper = (number(end, digits) for end in estimate["ci95"])
    return f"{number(estimate['value'], digits)} ({lower} to {upper})"


def with_median(estimate: Mapping[str, Any], digits: int = 3) -> str:
    """Return an estimate with its interval and its ``median``."""
    if estimate["value"] is None:
        return NONE
    return f"{with_interval(estimate, digits)}, median {number(estimate['median'], digits)}"
