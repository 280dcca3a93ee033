"""Numbers and tables as Markdown, the same in all reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "–"  # what stands for an undefined number


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    """Return a text as a table's cell may hold it."""
    return text.replace("|", "\\|")


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


def with_count(estimate: Mapping[str, Any], n: int | None = None) -> str:
    """Return an estimated share with its interval and its ``count``, as ``0.250 (0.125 to 0.500): 2 of 8``.

    Args:
        n: of how many; by itself the estimate's own ``n``.
    """
    return f"{with_interval(estimate)}: {estimate['count']} of {estimate['n'] if n is None else n}"


def share_of(count: int, n: int) -> str:
    """Return a count and its share, as ``2 of 8 (25.0%)``; ``NONE`` of nothing."""
    return f"{count} of {n} ({count / n:.1%})" if n else NONE
