"""How the groups of a data set are known, from the column ``group_source`` of a table of groups."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from braintumor_ext.data.split import canonical
from braintumor_ext.errors import InputError

PATIENT, SIMILARITY = "patient", "similarity"
"""The patient is known; the images are grouped with their near-duplicates."""


def read_group_sources(path: str | PathLike[str]) -> dict[str, str]:
    """Return how each image's group is known, by :func:`short_name`.

    Args:
        path: CSV with the columns ``image`` and ``group_source``.

    Raises:
        InputError: it can't be read or lacks a column.
    """
    remedy = "Give a table with the columns image, group and group_source"
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"image", "group_source"} <= set(reader.fieldnames or ()):
                raise InputError(path, f"has the columns {reader.fieldnames}", remedy)
            return {short_name(row["image"]): row["group_source"] for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"cannot be read ({type(error).__name__}: {error})", remedy) from error


def short_name(path: str) -> str:
    """Return class folder and file name, which identify a slice whatever folder was prepared."""
    return "/".join(canonical(path).split("/")[-2:])


def describe_grouping(images: Iterable[str], sources: Mapping[str, str] | None = None) -> str:
    """Say in words what keeps images together."""
    if sources is None:
        return "patient-grouped where the data name the patient, near-duplicate-grouped else"
    known = [sources.get(short_name(image)) == PATIENT for image in images]
    return f"patient-grouped where known ({sum(known):,} images), near-duplicate-grouped else ({known.count(False):,})"
