"""All slices of an inference in one HTML file, to sort, filter and look at without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from os import PathLike
from typing import Any
from urllib.parse import quote

from braintumor_ext.data.classes import display_name
from braintumor_ext.files import replacing
from braintumor_ext.plain_text import printable

FAILED = "failed"


def write_html_report(
    path: str | PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, bytes],
    class_names: Sequence[str],
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
        pictures: position of a row to the bytes of a JPEG file, such as
            :func:`~braintumor_ext.visualize.overlay.render_thumbnail` makes; absent where there is none.
        class_names: the K class names in the order of their indices.
        title: the report's heading.
        facts: what the summary on top says beside the counts, name to text: model, calibration, warnings.

    Raises:
        ValueError: a row's class is not among the class names, or a picture belongs to no row.
    """
    unknown = {row["class"] for row in rows} - {None, *class_names}
    if unknown:
        raise ValueError(f"unknown classes {sorted(unknown)}: the class names are {list(class_names)}")
    strays = sorted(set(pictures) - set(range(len(rows))))
    if strays:
        raise ValueError(f"pictures {strays} belong to no row: there are {len(rows)} rows")
    template = (resources.files(__package__) / "report_template.html").read_text(encoding="utf-8")
    flags = sorted({flag for row in rows for flag in _flags_of(row)})
    parts: dict[str, str | Iterable[str]] = {
        "policy": _policy(template),
        "title": escape(title),
        "counts": _counts(rows, class_names),
        "facts": "\n".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items()),
        "class_options": _options({**_groups(class_names), FAILED: FAILED}),
        "flag_options": _options(
            {str(i): flag for i, flag in enumerate(flags)} | {"any": "any flag", "none": "no flag"}
        ),
        "count": f"{len(rows):,} of {len(rows):,} slices",
        "headers": _headers(class_names),
        "rows": (f"{_row(i, row, class_names, flags, i in pictures)}\n" for i, row in enumerate(rows)),
        "pictures": _encoded(pictures, len(rows)),
    }
    # A file's name may hold bytes that are no text; they come as lone surrogates, which UTF-8 refuses.
    with (
        replacing(path) as partial,
        open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file,
    ):
        # Piece by piece: with its pictures the page may have 100 MB. And what stands in a row is never taken for a
        # placeholder. Of the pieces every second one is a placeholder's name.
        for number, piece in enumerate(re.split(r"\{\{ (\w+) \}\}", template)):
            file.writelines(parts[piece] if number % 2 else [piece])


def read_pictures(path: str | PathLike[str]) -> list[bytes | None]:
    """Return the pictures in a report that :func:`write_html_report` wrote, None for each row that has none.

    Args:
        path: the HTML file.

    Raises:
        ValueError: the file is no such report.
    """
    with open(path, encoding="utf-8") as file:
        found = next(filter(None, (re.search(r'id="pictures">(\[.*\])</script>', line) for line in file)), None)
    if found is None:
        raise ValueError(f"{path} holds no pictures.")
    return [None if picture is None else base64.b64decode(picture) for picture in json.loads(found[1])]


def _encoded(pictures: Mapping[int, bytes], count: int) -> Iterator[str]:
    """Yield a JSON list of Base64 or null: nothing in it could end the element that it stands in."""
    for position in range(count):
        encoded = f'"{base64.b64encode(pictures[position]).decode()}"' if position in pictures else "null"
        yield f"{', ' if position else '['}{encoded}"
    yield "]" if count else "[]"


def _policy(template: str) -> str:
    """Allow the template's own style and script by their hashes, pictures in the file, and nothing else."""
    allowed = {}
    for tag in ("style", "script"):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)[0]
        allowed[tag] = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{allowed['style']}'; "
        f"script-src 'sha256-{allowed['script']}'; base-uri 'none'; form-action 'none'"
    )


def _groups(class_names: Sequence[str]) -> dict[str, str]:
    """Return what filters call a class in the file (its index, which no name can imitate) and how it is shown."""
    return {str(index): display_name(name) for index, name in enumerate(class_names)}


def _group_of(row: Mapping[str, Any], class_names: Sequence[str]) -> str:
    return FAILED if row["error"] or row["class"] is None else str(list(class_names).index(row["class"]))


def _flags_of(row: Mapping[str, Any]) -> list[str]:
    return [flag for flag in (row["flags"] or "").split("; ") if flag]


def _counts(rows: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> str:
    groups = Counter(_group_of(row, class_names) for row in rows)
    counts = [("slices", len(rows)), *((name, groups[group]) for group, name in _groups(class_names).items())]
    counts += [("flagged", sum(bool(_flags_of(row)) for row in rows)), (FAILED, groups[FAILED])]
    return "\n".join(f"<li><b>{count:,}</b>{escape(name)}</li>" for name, count in counts)


def _options(names: Mapping[str, str]) -> str:
    return "".join(f'<option value="{value}">{escape(name)}</option>' for value, name in names.items())


def _headers(class_names: Sequence[str]) -> str:
    """Return the header cells; the columns of the class ``number`` are sorted as numbers, the others as text."""
    columns = [("picture", "image number"), ("file", "file"), ("class", "class"), ("confidence", "confidence number")]
    columns += [(display_name(name), "share number") for name in class_names]
    columns += [("area, px", "area number"), ("area, mm²", "area number"), ("flags", "flags"), ("error", "error")]
    return "\n".join(
        f'<th scope="col" class="{kind}"><button type="button">{escape(name)}</button></th>' for name, kind in columns
    )


def _row(
    position: int, row: Mapping[str, Any], class_names: Sequence[str], flags: Sequence[str], has_picture: bool
) -> str:
    """Return a table row; each cell's ``data-sort`` is what it is sorted by, absent where the value is missing."""
    name = printable(row["file"]) + ("" if row["slice"] is None else f", slice {row['slice']}")
    paths = "".join(
        # "./" and quoting keep a path a path: it can be no other address.
        f'<a href="./{quote(row[key], errors="surrogateescape")}" target="_blank">{key}</a>'
        for key in ("overlay", "mask")
        if row[key]
    )
    links = f'<span class="links">{paths}</span>' if paths else ""
    caption = f"picture of {name}" if has_picture else "no picture"
    shares = {class_name: _number(row[f"p_{class_name}"]) for class_name in class_names}
    confidence = max((share for share in shares.values() if share is not None), default=None)
    shown = "" if row["class"] is None else display_name(row["class"])
    own = _flags_of(row)
    cells = [
        _cell("image", position, f'<button type="button" class="picture">{escape(caption)}</button>'),
        _cell("file", name, f"<bdi>{escape(name).replace('/', '/<wbr>')}</bdi>{links}"),
        _cell("class", shown, escape(shown)),
        _cell("confidence number", confidence, _percent(confidence)),
        *(_share_cell(share, class_name == row["class"]) for class_name, share in shares.items()),
        *(_cell("area number", area, _area(area)) for area in (_number(row["area_px"]), _number(row["area_mm2"]))),
        _cell("flags", "; ".join(own), "".join(f'<span class="flag">{escape(flag)}</span>' for flag in own)),
        _cell("error", row["error"] or "", escape(row["error"] or "")),
    ]
    marks = " ".join(str(flags.index(flag)) for flag in own) or "none"
    return f'<tr data-group="{_group_of(row, class_names)}" data-flags="{marks}">{"".join(cells)}</tr>'


def _cell(kind: str, value: str | float | None, content: str) -> str:
    key = "" if value is None or value == "" else f' data-sort="{escape(str(value))}"'
    return f'<td class="{kind}"{key}>{content}</td>'


def _share_cell(share: float | None, is_best: bool) -> str:
    return _cell("share number best" if is_best else "share number", share, _percent(share))


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _area(area: float | None) -> str:
    if area is None:
        return ""
    return f"{area:,}" if isinstance(area, int) else f"{area:,.1f}"
