"""What a benchmark found, as tables of every round's figures, and the JSON file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from braintumor_ext.errors import InputError
from braintumor_ext.files import write_json
from braintumor_ext.jsonable import jsonable


@dataclass(frozen=True)
class Row:
    """What was measured of one thing.

    Args:
        labels: what it is, one for each of the table's ``labels``.
        measures: the measure's name, with its unit, to its value in each round (one value where rounds make no sense);
            a ratio is a measure like any other. The first is the row's main one.
        aim: what the main measure was meant to be, in words such as ``at most 1.10``; empty where there is no aim.
    """

    labels: Sequence[str | float]
    measures: Mapping[str, Sequence[float]]
    aim: str = ""


@dataclass(frozen=True)
class Curve:
    """How a table is drawn: a line through the medians for each combination of the labels that are not ``x``.

    Args:
        x: the label along the horizontal axis; its values are numbers.
        y: the measure along the vertical axis.
        log: whether both axes are logarithmic.
    """

    x: str
    y: str
    log: bool = True


@dataclass(frozen=True)
class Table:
    """Rows that were measured alike.

    Args:
        name: a short name, unique within the benchmark, such as ``map``.
        title: what the table tells, such as ``What a heat map costs``.
        method: what was measured and how, in whole sentences: sizes, batch, threads, data.
        labels: the names of the columns that say what a row is.
        rows: the rows.
        curve: how the table is drawn, if it is.
    """

    name: str
    title: str
    method: str
    labels: Sequence[str]
    rows: Sequence[Row]
    curve: Curve | None = None


@dataclass(frozen=True)
class Result:
    """One run of one benchmark.

    Args:
        benchmark: the module's name.
        machine: what it ran on (:func:`studies.benchmarks.machine.machine`).
        seconds: how long it took.
        quick: whether it was made small, only to see that it works.
        tables: what it found.
        failure: why it found nothing; empty where it did.
    """

    benchmark: str
    machine: Mapping[str, Any]
    seconds: float
    quick: bool
    tables: Sequence[Table] = field(default_factory=list)
    failure: str = ""


def write_result(result: Result, folder: Path) -> Path:
    """Write ``folder/BENCHMARK.json`` and return its path."""
    path = folder / f"{result.benchmark}.json"
    write_json(path, jsonable(asdict(result)), indent=1)
    return path


def read_result(path: Path) -> Result:
    """Return what :func:`write_result` wrote.

    Raises:
        InputError: the file is none of its results.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tables = [
            Table(
                **{
                    **table,
                    "rows": [Row(**row) for row in table["rows"]],
                    "curve": None if table["curve"] is None else Curve(**table["curve"]),
                }
            )
            for table in content["tables"]
        ]
        return Result(**{**content, "tables": tables})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"no result of a benchmark ({error})", "Delete it and run the benchmark again") from None
