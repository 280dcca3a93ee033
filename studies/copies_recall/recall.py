"""Recall of the search for copies by kind of copy, and its false alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from braintumor_ext.data.copies import Copy, find_copies
from braintumor_ext.data.thumbnails import framed_picture
from braintumor_ext.transforms import read_grey
from studies.copies_recall.changes import CHANGES, Change
from studies.copies_recall.slices import GroupedSlices


def pairs_across_groups(slices: GroupedSlices) -> list[Copy]:
    """Return the pairs of slices of different groups that the search takes for copies."""
    return [copy for copy in find_copies(slices.framed) if slices.groups[copy.first] != slices.groups[copy.second]]


def false_alarms(slices: GroupedSlices, across: Sequence[Copy]) -> dict[str, Any]:
    """Count the pairs of different groups that are taken for copies, by whether both patients are known.

    Slices of different patients are no copies: what is reported of those is a false alarm (or an error of the table).
    Groups of near-duplicates may miss copies: what is reported of those has to be looked at.

    Args:
        slices: all that were compared with one another.
        across: of :func:`pairs_across_groups`.
    """
    known = np.array(slices.patient_known)

    def compared(chosen: np.ndarray) -> int:
        sizes = Counter(group for group, counts in zip(slices.groups, chosen, strict=True) if counts)
        total = sum(sizes.values())
        return (total**2 - sum(size**2 for size in sizes.values())) // 2

    of_patients = [copy for copy in across if known[copy.first] and known[copy.second]]
    patients, everything = compared(known), compared(np.ones(len(known), dtype=bool))
    return {
        "different_patients": {"reported": len(of_patients), "pairs": patients},
        "other_groups": {"reported": len(across) - len(of_patients), "pairs": everything - patients},
        "reported": [
            {
                "first": slices.names[copy.first],
                "second": slices.names[copy.second],
                "likeness": round(copy.likeness, 4),
                "mirrored": copy.mirrored,
            }
            for copy in across
        ],
    }


def recall_by_kind(
    slices: GroupedSlices, chosen: Sequence[int], seed: int = 0, changes: Mapping[str, Change] = CHANGES
) -> dict[str, dict[str, Any]]:
    """Copy slices in every way and search the copies for their originals.

    Args:
        slices: of which some are copied.
        chosen: positions of those, one of a group.
        seed: of the changes.
        changes: the kinds of copies.

    Returns:
        Each kind's ``found`` of ``n`` with ``recall`` and its 95% Wilson interval ``ci95``, the median ``likeness`` of
        what was found, and ``wrong``: how many pairs of a copy with another's original were reported.
    """
    greys = [read_grey(slices.paths[position]) for position in chosen]
    originals = slices.framed[list(chosen)]
    result = {}
    for name, change in tqdm(changes.items(), "kinds", unit="kind"):
        rng = np.random.default_rng(seed)
        copies = np.stack([framed_picture(change(grey, rng)) for grey in greys])
        found = find_copies(originals, copies, progress=False)
        right = [copy.likeness for copy in found if copy.first == copy.second]
        share = binomtest(len(right), len(greys)).proportion_ci(method="wilson")
        result[name] = {
            "found": len(right),
            "n": len(greys),
            "recall": len(right) / len(greys),
            "ci95": [float(share.low), float(share.high)],
            "likeness": float(np.median(right)) if right else None,
            "wrong": len(found) - len(right),
        }
    return result
