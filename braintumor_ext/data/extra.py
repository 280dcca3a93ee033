"""Extra slices: drawn on in training only, and only those that give nothing of validation and test away."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.classes import FOLDER_NAMES, Classes
from braintumor_ext.data.copies import COPY_LIKENESS, Copy, find_copies, positions
from braintumor_ext.data.duplicates import NEAR_DUPLICATE_CORRELATION, group_slices, near_duplicate_pairs
from braintumor_ext.data.folder_scan import read_groups, scan_folder
from braintumor_ext.data.inspection import InspectedSlice, inspect_slices
from braintumor_ext.data.split import EXTRA, SECTIONS
from braintumor_ext.errors import InputError

REASONS = ("held_out_group", "held_out_copy", "identical")
"""Why an extra slice is not used: its group is in validation or test; it, or one of its group, is a copy or
near-duplicate of a slice there; its file is one of the data set's own."""


@dataclass(frozen=True)
class ExtraPool:
    """The extra slices of a folder, before any is chosen.

    Keys begin with ``extra/``; ``given`` is the group by key where a table tells it, ``found`` how many files.
    """

    slices: list[InspectedSlice]
    given: Mapping[str, str]
    found: int
    left_out: list[InputError]
    notes: list[str]


def read_extra(
    images: Path,
    masks: Path | None,
    groups: Path | None,
    classes: Classes,
    folder_table: Mapping[str, str] = FOLDER_NAMES,
) -> ExtraPool:
    """Find and inspect extra slices, from folders as for ``scan_folder``; a class may be missing.

    ``groups`` is a table as for ``read_groups``; a group of the data set's own has its name there.

    Raises:
        InputError: if a folder or the table is absent or broken.
    """
    scan = scan_folder(images, masks, classes, folder_table, whole=False)
    given, notes = read_groups(groups, [s.key for s in scan.slices]) if groups is not None else ({}, [])
    found = [replace(s, key=f"{EXTRA}/{s.key}") for s in scan.slices]
    slices, unusable = inspect_slices(found, classes)
    by_key = {f"{EXTRA}/{key}": group for key, group in given.items()}
    return ExtraPool(slices, by_key, len(found), [*scan.left_out, *unusable], [*scan.notes, *notes])


def choose_extra(
    pool: ExtraPool, slices: Sequence[InspectedSlice], joined: Sequence[Sequence[str]] = ()
) -> tuple[list[InspectedSlice], dict[str, Any]]:
    """Choose the extra slices that may be learnt from beside a split; they get their groups and their section.

    A group is used or left out as a whole: if one of its slices is a copy or near-duplicate of one in validation or
    test, its others show the same patient. Copies of training slices are kept, unless the file is the same: they give
    nothing away, and a mirrored or cropped one is what augmentation would make of it. ``joined`` are sets of given
    group names that became one group among the data set's own ``slices``, which bears the first one's name. Return the
    chosen slices, and what the data report says.
    """
    extra = pool.slices
    renamed = {name: names[0] for names in joined for name in names}
    given = {key: renamed.get(name, name) for key, name in pool.given.items()}
    near = near_duplicate_pairs(np.stack([s.thumbnail for s in (*extra, *slices)])) if extra else np.empty((0, 2), int)
    within = near[(near < len(extra)).all(axis=1)]
    # The smaller position comes first: that of the extra slice.
    across = [(int(a), slices[b - len(extra)]) for a, b in near if a < len(extra) <= b]
    framed = np.array([s.framed for s in extra])
    copies: list[tuple[Copy, InspectedSlice]] = []
    held_out = set(SECTIONS[1:])
    for apart in (True, False):  # one after the other: look-alikes in training don't take the candidates' places
        side = [s for s in slices if (s.section in held_out) == apart]
        copies += [(copy, side[copy.second]) for copy in find_copies(framed, np.array([s.framed for s in side]))]
    across += [(copy.first, own) for copy, own in copies]
    # Groups that a table gives stay, so that slices are compared with one another only where one lacks it.
    if any(slice_.key not in given for slice_ in extra):
        within = np.concatenate([within, positions(find_copies(framed))])
    grouping = group_slices([s.key for s in extra], [s.sha256 for s in extra], within, given)
    names_of: dict[str, set[str]] = defaultdict(set)
    for slice_, group in zip(extra, grouping.names, strict=True):
        names_of[group] |= {group, given.get(slice_.key, group)}

    held_out_groups = {s.group for s in slices if s.section in held_out}
    own_files = {s.sha256 for s in slices}
    copying = {grouping.names[position] for position, other in across if other.section in held_out}
    left_out: dict[str, list[str]] = {reason: [] for reason in REASONS}
    chosen = []
    for slice_, group in zip(extra, grouping.names, strict=True):
        if names_of[group] & held_out_groups:
            left_out["held_out_group"].append(slice_.key)
        elif group in copying:
            left_out["held_out_copy"].append(slice_.key)
        elif slice_.sha256 in own_files:
            left_out["identical"].append(slice_.key)
        else:
            slice_.group, slice_.section = group, EXTRA
            chosen.append(slice_)
    return chosen, {
        "images": {"found": pool.found, "used": len(chosen)},
        "classes": dict(sorted(Counter(s.class_name for s in chosen).items())),
        "groups": len({s.group for s in chosen}),
        "groups_given": bool(pool.given),
        "correlation_above": NEAR_DUPLICATE_CORRELATION,
        "likeness_from": COPY_LIKENESS,
        "copies": [
            {
                "image": extra[copy.first].key,
                "of": own.key,
                "section": own.section,
                "likeness": round(copy.likeness, 4),
                "mirrored": copy.mirrored,
            }
            for copy, own in copies
        ],
        "left_out": left_out,
    }
