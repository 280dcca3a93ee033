"""Which process of several predicts which slices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pydicom

from braintumor_ext.keys import IMAGE, SLICE
from braintumor_ext.transforms.formats import DICOM, container_of


def share_slices(
    data: Sequence[Mapping[str, Any]], indices: Sequence[int], processes: int, by_series: bool = False
) -> list[list[int]]:
    """Divide slices among processes: each goes to one, and the slices of a file all go to the same.

    A file's slices share its mask file, and its volume is decoded once. Neighbours stay together, and no process has
    more than an even share and one file (or series).

    Args:
        data: the items, as :func:`~braintumor_ext.inference.list_inputs` gives them.
        indices: the slices to divide, as ascending indices into ``data``.
        processes: how many there are.
        by_series: whether the files of a DICOM series go to one process, too: they share a segmentation.

    Returns:
        For each process its indices, ascending; none where there are fewer files than processes.
    """
    groups: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for index in indices:
        name = data[index]["name"]
        if name not in names:
            names[name] = (by_series and _series_of(data[index][IMAGE])) or f"file {name}"
        groups.setdefault(names[name], []).append(index)
    shares: list[list[int]] = [[] for _ in range(processes)]
    before = 0
    for group in groups.values():
        middle = before + len(group) / 2
        shares[min(int(middle * processes / len(indices)), processes - 1)] += group
        before += len(group)
    return [sorted(share) for share in shares]  # series may lie among each other


def digest_of(data: Sequence[Mapping[str, Any]]) -> str:
    """Return a hash of the inputs' names and slices, by which processes can tell that they have the same list."""
    listed = [[item["name"], item.get(SLICE), item["stem"]] for item in data]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _series_of(path: str | PathLike[str]) -> str | None:
    """Return a DICOM file's series; None of other files, and where it is not known."""
    try:
        if container_of(Path(path)) != DICOM:
            return None
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SeriesInstanceUID"])
        return f"series {header.SeriesInstanceUID}"
    except Exception:  # whatever is wrong with it, reading it will tell, in its own row
        return None
