"""Results as Markdown: one table of everything, or each table where a page names it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import median

from braintumor_ext.errors import InputError
from braintumor_ext.reporting import NONE, table
from studies.benchmarks.machine import described
from studies.benchmarks.record import Result, Row, Table

MARKER = re.compile(r"(<!-- benchmark: (?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""``<!-- benchmark: NAME/TABLE -->`` to ``<!-- end -->``: what stands between is replaced; ``aims`` is all aims."""


def spread(values: Sequence[float], measure: str = "") -> str:
    """Return the median with the least and the most value, ``0.98 (0.95 to 1.03)``; a single value by itself.

    Args:
        values: one for each round.
        measure: what they are; percents have one digit behind the point, all else three significant ones.
    """
    if not values:
        return NONE
    middle = median(values)
    digits = 2 if middle == 0 else min(max(2 - math.floor(math.log10(abs(middle))), 0), 4)
    digits = 1 if measure.endswith("%") else digits
    texts = [f"{value:.{digits}f}" for value in (middle, min(values), max(values))]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


def one_table(results: Sequence[Result]) -> str:
    """Return every result as one table, a line for each measure of each row, and what it was measured on."""
    lines = []
    for result in results:
        if result.failure:
            lines.append([result.benchmark, "failed", result.failure.splitlines()[-1], NONE, ""])
        for found in result.tables:
            for row in found.rows:
                for name, values in row.measures.items():
                    aim = row.aim if name == next(iter(row.measures)) else ""
                    lines.append([f"{result.benchmark}/{found.name}", _what(row), name, spread(values, name), aim])
    header = ["benchmark", "of what", "measure", "median (least to most)", "aim"]
    return "\n\n".join([table(header, lines), *_machines(results)])


def aims(results: Sequence[Result]) -> str:
    """Return the rows that have an aim, beside what was reached."""
    lines = [
        [found.title, _what(row), name, spread(values, name), row.aim]
        for result in results
        for found in result.tables
        for row in found.rows
        for name, values in list(row.measures.items())[:1]
        if row.aim
    ]
    return "\n\n".join([table(["", "of what", "measure", "median (least to most)", "aim"], lines), *_machines(results)])


def rewrite(page: str, results: Sequence[Result], images: str) -> str:
    """Return a page with the tables that it names put in.

    Args:
        page: Markdown with pairs of ``MARKER``.
        results: what there is; a table that is not among them keeps what the page has.
        images: the folder of the curves, as the page links it.

    Raises:
        InputError: a marker names a table that its benchmark did not make.
    """
    by_name = {result.benchmark: result for result in results}

    def replaced(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "aims":
            return f"{match[1]}{aims(results)}\n{match[3]}"
        benchmark, _, wanted = name.partition("/")
        if benchmark not in by_name:
            return match[0]
        return f"{match[1]}{_section(by_name[benchmark], wanted, images)}\n{match[3]}"

    return MARKER.sub(replaced, page)


def picture(result: Result, found: Table) -> str:
    """Return the file name of a table's curve."""
    return f"benchmark-{result.benchmark}-{found.name}.png"


def _section(result: Result, wanted: str, images: str) -> str:
    if result.failure:
        return f"This run failed: {result.failure.splitlines()[-1]}"
    found = next((found for found in result.tables if found.name == wanted), None)
    if found is None:
        names = ", ".join(found.name for found in result.tables)
        raise InputError(f"{result.benchmark}/{wanted}", "there is no such table", f"Choose among {names}")
    note = " A quick run, only to see that it works: its figures mean nothing." if result.quick else ""
    parts = [found.method + note, _table(found), described(dict(result.machine))]
    if found.curve is not None:
        parts.append(f"![{found.title}: {found.curve.y} by {found.curve.x}]({images}/{picture(result, found)})")
    return "\n\n".join(parts)


def _table(found: Table) -> str:
    measures = list(dict.fromkeys(name for row in found.rows for name in row.measures))
    has_aims = any(row.aim for row in found.rows)
    header = [*found.labels, *measures, *(["aim"] if has_aims else [])]
    lines = [
        [
            *map(_text, row.labels),
            *(spread(row.measures.get(name, []), name) for name in measures),
            *[row.aim] * has_aims,
        ]
        for row in found.rows
    ]
    return table(header, lines)


def _what(row: Row) -> str:
    return ", ".join(map(_text, row.labels))


def _text(label: str | float) -> str:
    return label if isinstance(label, str) else f"{label:g}"


def _machines(results: Sequence[Result]) -> list[str]:
    """Tell each machine once, with the benchmarks that ran on it where there are several."""
    ran: dict[str, list[str]] = {}
    for result in results:
        facts = {**result.machine, "load": None}
        ran.setdefault(described(facts), []).append(result.benchmark + (" (quick)" if result.quick else ""))
    return [place if len(ran) == 1 else f"{', '.join(names)}: {place}" for place, names in ran.items()]
