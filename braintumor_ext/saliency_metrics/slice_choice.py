"""Which slices of a split are explained when not all of them can be."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from braintumor_ext.classes import Classes
from braintumor_ext.data.datalist import true_mask
from braintumor_ext.data.sampling import spread
from braintumor_ext.keys import CLASS, GROUP, LABEL, UNKNOWN

Item = Mapping[str, Any]


def spread_order(items: Sequence[Item], seed: int = 0) -> list[int]:
    """Return the items' positions in an order whose every beginning is spread over classes, then over groups."""
    draw = random.Random(seed)
    by_class: dict[Any, dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, item in enumerate(items):
        by_class[item.get(CLASS)][item.get(GROUP, ("alone", position))].append(position)
    order: list[int] = []
    for _, groups in sorted(by_class.items(), key=lambda entry: str(entry[0])):
        members = list(groups.values())
        draw.shuffle(members)
        for slices in members:
            draw.shuffle(slices)
            order += slices
    return spread(order, [item.get(GROUP) for item in items], [item.get(CLASS) for item in items])


def tumour_slices(
    items: Sequence[Item], classes: Classes, max_slices: int | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Return the items with a known class of tumour and a mask that is not empty, in their own order.

    Args:
        max_slices: how many, spread over classes and groups; 0 or None for all.
    """
    known = [
        position
        for position, item in enumerate(items)
        if item.get(LABEL) is not None and item.get(CLASS, UNKNOWN) not in (None, UNKNOWN, classes.empty_index)
    ]
    chosen: list[int] = []
    for index in spread_order([items[position] for position in known], seed):
        if max_slices and len(chosen) == int(max_slices):
            break
        mask = true_mask(items[known[index]])
        if mask is not None and mask.any():
            chosen.append(known[index])
    return [dict(items[position]) for position in sorted(chosen)]
