"""External probes as files: probes.json, probes.md, a table of slices and a contact sheet of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image

from braintumor_ext.files import replacing, write_json, write_text
from braintumor_ext.jsonable import jsonable
from braintumor_ext.metrics.records import write_records
from braintumor_ext.reporting import render_from
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
        with replacing(folder / f"{probe.name}.csv") as partial:
            write_records(probe.records, partial, probe.classes)
        if probe.pictures:
            write_sheet(probe.pictures, folder / f"{probe.name}.png")
    write_text(folder / "probes.md", render_probes(content))
    write_json(folder / "probes.json", content)
    return dict(content)


def write_sheet(pictures: Sequence[Image.Image], path: str | PathLike[str]) -> None:
    """Write drawn predictions on one sheet.

    Args:
        pictures: at least one, in reading order.
        path: the PNG file.
    """
    with replacing(path) as partial:
        tile_pictures(pictures, min(SHEET_COLUMNS, len(pictures)), SHEET_WIDTH).save(partial, format="PNG")


def render_probes(content: Mapping[str, Any]) -> str:
    """Return the Markdown report of some probes.

    Args:
        content: what ``probes.json`` holds.
    """
    return render_from("studies.external_validation", "probes.md", **content)
