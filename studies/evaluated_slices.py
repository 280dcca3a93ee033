"""The slices of an evaluation, joined with what the prepared data set and its table of groups know of them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.datalist import load_section
from braintumor_ext.data.file_properties import ITEMS_CSV
from braintumor_ext.data.split import SECTIONS, canonical
from braintumor_ext.errors import InputError
from braintumor_ext.keys import CLASS, GROUP, IMAGE, LABEL
from braintumor_ext.metrics.records import SliceRecord, read_records
from studies.comparison.splits import short_names
from studies.group_sources import read_group_sources, short_name

DATA_REPORT = "data_report.json"
_EVALUATE = "Give the folder that `evaluating` wrote, with its metrics.json and per_image.csv"


@dataclass(frozen=True)
class EvaluatedSlice:
    """One slice of an evaluation.

    Args:
        record: what was measured.
        path: its file.
        source: its path relative to the folder that was prepared, with forward slashes.
        width: columns of the source file.
        height: rows of the source file.
        sha256: of the source file.
        mask: the file of its true mask; None if it is unknown.
        group_source: how its group is known (``patient``, ``similarity``); None without a table that says so.
        plane: the plane of the slice; None where it is not told.
        copied: whether an extra slice whose group is not held out is a copy of it; None if there were no extra slices,
            or none were compared.
    """

    record: SliceRecord
    path: Path
    source: str
    width: int
    height: int
    sha256: str
    mask: Path | None = None
    group_source: str | None = None
    plane: str | None = None
    copied: bool | None = None


def read_metrics(evaluation: str | PathLike[str]) -> dict[str, Any]:
    """Return what an evaluation's ``metrics.json`` holds.

    Args:
        evaluation: the evaluation's folder.

    Raises:
        InputError: it is no evaluation.
    """
    path = Path(evaluation) / "metrics.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _ = content["context"]["checkpoint_sha256"], Classes.of(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is no evaluation ({type(error).__name__}: {error})", _EVALUATE) from error
    return dict(content)


def read_evaluated(
    evaluation: str | PathLike[str],
    dataset_dir: str | PathLike[str],
    groups: str | PathLike[str] | None = None,
    datalist: str | PathLike[str] | None = None,
    planes: str | PathLike[str] | None = None,
) -> list[EvaluatedSlice]:
    """Return the slices of an evaluation.

    Args:
        evaluation: the evaluation's folder, with ``metrics.json`` and ``per_image.csv``.
        dataset_dir: the prepared data set that was evaluated, with ``items.csv``.
        groups: a table with the columns image and group_source; None where it is not at hand.
        datalist: the datalist that was evaluated; None for the data set's own.
        planes: a table with the columns image and plane; None where it is not at hand.

    Raises:
        InputError: a table is missing or broken, or a slice is not of this data set.
    """
    table = Path(evaluation) / "per_image.csv"
    if not table.is_file():
        raise InputError(table, "no such file", _EVALUATE)
    folder = Path(dataset_dir)
    items = _rows(folder / ITEMS_CSV, "image", "Give the folder that scripts.prepare_data wrote")
    classes = Classes.of(read_metrics(evaluation))
    sections = _sections(folder, datalist, classes).values()
    masks = {Path(item[IMAGE]).resolve(): Path(item[LABEL]) for s in sections for item in s if LABEL in item}
    sources = {} if groups is None else read_group_sources(groups)
    plane_of = {} if planes is None else _planes(Path(planes))
    copied = _copied(folder)
    found = []
    for record in read_records(table, classes):
        row = items.get(record.image)
        if row is None:
            remedy = "Give the prepared data set that was evaluated"
            raise InputError(table, f"its slice {record.image!r} is not in {folder / ITEMS_CSV}", remedy)
        path = Path(os.path.normpath(folder / record.image))
        found.append(
            EvaluatedSlice(
                record=record,
                path=path,
                source=row["source"],
                width=int(row["width"]),
                height=int(row["height"]),
                sha256=row["sha256"],
                mask=masks.get(path.resolve()),
                group_source=sources.get(short_name(row["source"])),
                plane=plane_of.get(short_name(row["source"])),
                copied=None if copied is None else short_name(row["source"]) in copied,
            )
        )
    return found


def split_hash(
    dataset_dir: str | PathLike[str], datalist: str | PathLike[str] | None = None, classes: Classes = CLASSES
) -> str:
    """Return the SHA-256 of a data set's split, the same as a comparison's of the same split.

    It is of what the items are (name, class, group, whether there is a mask) and where they stand; where the files lie
    and in which order does not matter.

    Args:
        dataset_dir: a prepared data set.
        datalist: another datalist than the data set's own.

    Raises:
        InputError: there is no datalist.
        InputErrors: there is something wrong with its items.
    """
    sections = _sections(dataset_dir, datalist, classes)
    placed = [(section, item) for section, items in sections.items() for item in items]
    names = [canonical(name) for name in short_names([item for _, item in placed])]
    lines = [
        "\t".join([section, name, str(item.get(CLASS)), str(item.get(GROUP)), str(LABEL in item)])
        for name, (section, item) in sorted(zip(names, placed, strict=True), key=lambda pair: pair[0])
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sections(
    dataset_dir: str | PathLike[str], datalist: str | PathLike[str] | None, classes: Classes
) -> dict[str, list[dict[str, Any]]]:
    """Return the items of each section with absolute paths; a section may be empty."""
    return {
        section: load_section(dataset_dir, datalist, section, classes, check_files=False, allow_empty=True)
        for section in SECTIONS
    }


def _planes(path: Path) -> dict[str, str]:
    remedy = "Give a table with the columns image and plane"
    try:
        return {short_name(name): row["plane"] for name, row in _rows(path, "image", remedy).items()}
    except KeyError as error:
        raise InputError(path, f"lacks the column {error}", remedy) from error


def _copied(folder: Path) -> set[str] | None:
    """Return the names of the slices that the report of the prepared data set names as copied among the extra ones."""
    try:
        extra = json.loads((folder / DATA_REPORT).read_text(encoding="utf-8"))["extra"]
        other_reasons = set(extra["left_out"]["held_out_group"])
        return {short_name(copy["of"]) for copy in extra["copies"] if copy["image"] not in other_reasons}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _rows(path: Path, key: str, remedy: str) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row[key]: row for row in csv.DictReader(file)}
    except (OSError, KeyError, csv.Error) as error:
        raise InputError(path, f"cannot be read ({type(error).__name__}: {error})", remedy) from error
