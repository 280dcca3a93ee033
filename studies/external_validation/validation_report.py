"""External probes as files: probes.json, probes.md, a table of slices and a contact sheet of each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image

from braintumor_ext.classes import display_name
from braintumor_ext.files import replacing
from braintumor_ext.jsonable import jsonable
from braintumor_ext.metrics.records import write_records
from braintumor_ext.reporting import number, table
from braintumor_ext.visualize import tile_pictures
from studies.external_validation.external_validation import ExternalValidation

SHEET_COLUMNS, SHEET_WIDTH = 4, 560


def write_validations(
    probes: Sequence[ExternalValidation],
    output: str | PathLike[str],
    context: Mapping[str, Any] | None = None,
    notes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write the report of some probes, and return what ``probes.json`` holds.

    Besides it: ``probes.md``, and for each probe ``<name>.csv`` and the contact sheet ``<name>.png``, which shows the
    data itself.

    Args:
        probes: at least one.
        output: the folder, made if it does not exist.
        context: what the numbers belong to (checkpoint, date ...).
        notes: a probe's name to what one must know of its data.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    content = jsonable(
        {
            "context": dict(context or {}),
            "probes": {probe.name: {**probe.summary(), "note": (notes or {}).get(probe.name, "")} for probe in probes},
        }
    )
    for probe in probes:
        empty = None if probe.empty_class is None else probe.class_names.index(probe.empty_class)
        with replacing(folder / f"{probe.name}.csv") as partial:
            write_records(probe.records, partial, probe.class_names, empty)
        if probe.pictures:
            write_sheet(probe.pictures, folder / f"{probe.name}.png")
    with replacing(folder / "probes.md") as partial:
        partial.write_text(render_probes(content), encoding="utf-8")
    with replacing(folder / "probes.json") as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    return dict(content)


def write_sheet(pictures: Sequence[Image.Image], path: str | PathLike[str]) -> None:
    """Write drawn predictions on one sheet.

    Args:
        pictures: at least one, in reading order.
        path: the PNG file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for index, picture in enumerate(pictures):
            files.append(Path(scratch) / f"{index:04d}.png")
            picture.save(files[-1], compress_level=1)
        target = Path(path)
        sheet = Path(scratch) / "sheet.png"
        tile_pictures(files, sheet, columns=min(SHEET_COLUMNS, len(files)), width=SHEET_WIDTH)
        with replacing(target) as partial:
            partial.write_bytes(sheet.read_bytes())


def render_probes(content: Mapping[str, Any]) -> str:
    """Return the Markdown report of some probes.

    Args:
        content: what ``probes.json`` holds.
    """
    lines = ["# External probes", "", "Reported, and never tuned on.", ""]
    lines += [f"- {name.replace('_', ' ')}: {value}" for name, value in content["context"].items()]
    lines += [
        "- raw: the mask head alone; gated: its mask counts only where the predicted class has a tumour",
        "- the slices of one head are no independent trials: there are no intervals",
    ]
    parts = ["\n".join(lines)]
    for name, summary in content["probes"].items():
        parts.append(_section(name, summary))
    return "\n\n".join(parts) + "\n"


def _section(name: str, summary: Mapping[str, Any]) -> str:
    head = f"{summary['slices']} slices of {summary['files']} file(s)"
    if summary["healthy"]:
        head += ", all without tumour"
    if summary["mask_unknown"]:
        head += f"; the true mask of {summary['mask_unknown']} is unknown"
    if summary["blank"]:
        head += f"; {summary['blank']} blank ones are left out"
    parts = [f"## {name}", head + "."]
    if summary["note"]:
        parts.append(summary["note"])
    rows = [["predicted classes", _counts(summary["classes"])], ["flags", _counts(summary["flags"]) or "none"]]
    if (found := summary["tumour_slices"]) is not None:
        rows += _tumour_rows(found)
    if (false := summary["slices_without_tumour"]) is not None:
        rows += [
            ["slices without tumour", str(false["n"])],
            ["... called without tumour", _share(false["called_without_tumour"], false["n"])],
            ["... predicted classes", _counts(false["classes"])],
            ["... with any predicted pixel, raw", _share(false["any_pixel"]["raw"], false["n"])],
            ["... with any predicted pixel, gated", _share(false["any_pixel"]["gated"], false["n"])],
            ["... largest predicted area, raw", f"{false['largest_area_px']} px"],
        ]
    parts.append(table(["", "value"], rows))
    if len(summary["per_file"]) > 1:
        parts.append(table(["tumour slices of", "n", "called tumour", "Dice, raw", "gated"], _file_rows(summary)))
    if summary["failed"]:
        listed = [f"- {slice_}: {problem}" for slice_, problem in summary["failed"].items()]
        parts.append(f"{len(listed)} slice(s) could not be judged:\n\n" + "\n".join(listed[:20]))
    return "\n\n".join(parts)


def _tumour_rows(found: Mapping[str, Any]) -> list[list[str]]:
    n = found["n"]
    rows = [
        ["tumour slices", str(n)],
        ["... called a tumour class (recall)", _share(found["called_tumour"], n)],
        ["... predicted classes", _counts(found["classes"])],
    ]
    for kind in ("raw", "gated"):
        rows.append([f"... whose mask overlaps the tumour, {kind}", _share(found["mask_overlaps"][kind], n)])
    for kind in ("raw", "gated"):
        dice = found["dice"][kind]
        rows.append([f"... Dice, {kind}", f"{number(dice['mean'])}, median {number(dice['median'])}"])
    return rows


def _file_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            str(found["n"]),
            _share(found["called_tumour"], found["n"]),
            number(found["dice"]["raw"]["mean"]),
            number(found["dice"]["gated"]["mean"]),
        ]
        for name, found in summary["per_file"].items()
    ]


def _share(value: Mapping[str, Any], n: int) -> str:
    return f"{value['count']} of {n} ({value['share']:.1%})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{display_name(name)} {count}" for name, count in counts.items() if count)
