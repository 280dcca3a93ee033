"""The slices that copies are made of, with the groups that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from braintumor_ext.data.folder_scan import read_groups, scan_folder
from braintumor_ext.data.sampling import spread
from braintumor_ext.data.thumbnails import framed_picture
from braintumor_ext.errors import InputError
from braintumor_ext.transforms import read_grey
from studies.group_sources import PATIENT, read_group_sources, short_name


@dataclass(frozen=True)
class GroupedSlices:
    """Slices as the search sees them.

    Args:
        names: N names: class folder and file.
        paths: N files.
        framed: (N, 64, 64) uint8 of ``framed_picture``.
        groups: N groups: of one patient, or of near-duplicates.
        patient_known: N times whether the group is a patient.
        unreadable: the files that were left out.
    """

    names: list[str]
    paths: list[Path]
    framed: np.ndarray
    groups: list[str]
    patient_known: list[bool]
    unreadable: list[InputError]


def read_slices(images: Path, groups: Path, at_most: int | None = None, seed: int = 0) -> GroupedSlices:
    """Read the slices below a folder.

    Args:
        images: holds a folder for each class.
        groups: CSV with the columns image, group and group_source (``patient`` where the group is one).
        at_most: how many to read, drawn at random; None for all.
        seed: of that draw.

    Raises:
        InputError: a folder or the table is absent or broken, no slice can be read, or the group of one is not told.
    """
    found = scan_folder(images, whole=False).slices
    group_of, _ = read_groups(groups, [item.key for item in found])
    source_of = read_group_sources(groups)
    if unknown := [item.key for item in found if item.key not in group_of]:
        problem = f"does not tell the group of {len(unknown)} slice(s), such as {unknown[0]}"
        raise InputError(groups, problem, "Add a row for each: copies within a group would count as false alarms")
    if at_most is not None and at_most < len(found):
        drawn = np.random.default_rng(seed).permutation(len(found))[:at_most]
        found = [found[position] for position in sorted(drawn)]
    kept, framed, unreadable = [], [], []
    for item in tqdm(found, "reading", unit="file"):
        try:
            framed.append(framed_picture(read_grey(item.path)))
            kept.append(item)
        except InputError as error:
            unreadable.append(error)
    if not kept:
        raise InputError(
            images, f"none of its {len(found)} slices can be read: {unreadable[0].problem}", "Look at them"
        )
    return GroupedSlices(
        names=[item.key for item in kept],
        paths=[item.path for item in kept],
        framed=np.stack(framed),
        groups=[group_of[item.key] for item in kept],
        patient_known=[source_of.get(short_name(item.key)) == PATIENT for item in kept],
        unreadable=unreadable,
    )


def choose(slices: GroupedSlices, count: int, avoided: Sequence[str], seed: int) -> list[int]:
    """Choose slices of as many groups, one of each, at random; all groups if there are fewer.

    Args:
        slices: to choose from.
        count: how many.
        avoided: groups that are left out.
        seed: of the choice.

    Returns:
        Positions in ascending order.
    """
    drawn = np.random.default_rng(seed).permutation(len(slices.groups)).tolist()
    order = spread([position for position in drawn if slices.groups[position] not in avoided], slices.groups)
    return sorted(order[: min(count, len({*slices.groups} - {*avoided}))])
