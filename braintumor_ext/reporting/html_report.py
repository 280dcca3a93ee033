"""All slices of an inference in one HTML file, to sort, filter and look at without a network."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

from braintumor_ext.classes import Classes, display_name
from braintumor_ext.files import replacing
from braintumor_ext.plain_text import printable
from braintumor_ext.reporting.template import generate

FAILED = "failed"


def write_html_report(
    path: str | PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, Path],
    classes: Classes,
    title: str,
    facts: Mapping[str, str],
) -> None:
    """Write one HTML file with a line for each slice, whole or not at all; the same bytes for the same input.

    The file holds its pictures and fetches nothing: its content security policy allows no more than the one script and
    the one style in it. Nothing in the rows, the title or the facts is taken for markup. A slice with an error counts
    as failed, in place of its class.

    Args:
        path: the HTML file. Its links to masks and overlays work as long as it lies in the folder that they are
            relative to.
        rows: the slices as ``predictions.json`` holds them: ``file``, ``slice`` (int or None), ``class`` (a class name
            or None), ``p_<class name>`` (in [0, 1] or None), ``area_px``, ``area_mm2``, ``flags`` (joined by ``"; "``),
            ``error`` (empty if there is none), ``mask`` and ``overlay`` (relative paths or None).
        pictures: position of a row to a JPEG file, which is read when its turn comes, such as
            :func:`~braintumor_ext.visualize.overlay.render_thumbnail` makes; absent where there is none.
        facts: what the summary on top says beside the counts, name to text: model, calibration, warnings.

    Raises:
        ValueError: a row's class is not among the class names, or a picture belongs to no row.
    """
    unknown = {row["class"] for row in rows} - {None, *classes}
    if unknown:
        raise ValueError(f"unknown classes {sorted(unknown)}: the class names are {list(classes)}")
    strays = sorted(set(pictures) - set(range(len(rows))))
    if strays:
        raise ValueError(f"pictures {strays} belong to no row: there are {len(rows)} rows")
    all_flags = sorted({flag for row in rows for flag in _flags_of(row)})
    # What filters call a row's class in the file is its index, which no name can imitate.
    groups = [FAILED if row["error"] or row["class"] is None else classes.index(row["class"]) for row in rows]
    counts = [("slices", len(rows))]
    counts += [(display_name(name), groups.count(index)) for index, name in enumerate(classes)]
    counts += [("flagged", sum(bool(_flags_of(row)) for row in rows)), (FAILED, groups.count(FAILED))]
    columns = [("image number", "picture"), ("file", "file"), ("class", "class"), ("confidence number", "confidence")]
    columns += [("share number", display_name(name)) for name in classes]
    columns += [("area number", "area, px"), ("area number", "area, mm²"), ("flags", "flags"), ("error", "error")]
    pieces = generate(
        "inference_report.html",
        title=title,
        facts=facts,
        counts=counts,
        columns=columns,
        classes=classes,
        flags=all_flags,
        count=len(rows),
        rows=(_shown(row, group, classes, all_flags) for row, group in zip(rows, groups, strict=True)),
        pictures=pictures,
    )
    # A file's name may hold bytes that are no text; they come as lone surrogates, which UTF-8 refuses.
    with (
        replacing(path) as partial,
        open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        file.writelines(pieces)  # one by one: with its pictures the page may have 100 MB


def read_pictures(path: str | PathLike[str]) -> list[bytes | None]:
    """Return the pictures in a report that :func:`write_html_report` wrote, None for each row that has none.

    Raises:
        ValueError: the file is no such report.
    """
    with open(path, encoding="utf-8") as file:
        found = next(filter(None, (re.search(r'id="pictures">(\[.*\])</script>', line) for line in file)), None)
    if found is None:
        raise ValueError(f"{path} holds no pictures.")
    return [None if picture is None else base64.b64decode(picture) for picture in json.loads(found[1])]


def _flags_of(row: Mapping[str, Any]) -> list[str]:
    return [flag for flag in (row["flags"] or "").split("; ") if flag]


def _shown(row: Mapping[str, Any], group: int | str, classes: Classes, all_flags: Sequence[str]) -> dict[str, Any]:
    """Return what the template says of a row."""
    flags = _flags_of(row)
    shares = [_finite(row[f"p_{name}"]) for name in classes]
    best = max((share for share in shares if share is not None), default=None)
    numbers = [("confidence", best, "{:.1%}")]
    numbers += [
        ("share best" if name == row["class"] else "share", share, "{:.1%}")
        for name, share in zip(classes, shares, strict=True)
    ]
    areas = [_finite(row["area_px"]), _finite(row["area_mm2"])]
    numbers += [("area", area, "{:,}" if isinstance(area, int) else "{:,.1f}") for area in areas]
    return {
        "group": group,
        "name": printable(row["file"]) + ("" if row["slice"] is None else f", slice {row['slice']}"),
        # "./" and quoting keep a path a path: it can be no other address.
        "links": {key: f"./{quote(row[key], errors='surrogateescape')}" for key in ("overlay", "mask") if row[key]},
        "class_name": display_name(row["class"] or ""),
        "numbers": [(kind, value, "" if value is None else form.format(value)) for kind, value, form in numbers],
        "flags": flags,
        "marks": " ".join(str(all_flags.index(flag)) for flag in flags) or "none",
        "error": row["error"] or "",
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
