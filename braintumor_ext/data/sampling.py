"""Samples that are spread over classes and groups: many slices of one patient tell less than one slice of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from braintumor_ext.keys import GROUP


def spread(order: Iterable[int], groups: Sequence[Any], classes: Sequence[Any] | None = None) -> list[int]:
    """Return positions in an order whose every beginning is spread over classes, if they are given, then over groups.

    The classes take turns. Within one, each group gives one item before any gives its second; an item of group None is
    a group by itself. What comes first of a group or class in the given ``order`` stays its first.
    """
    whole = [("alone", position) if group is None else group for position, group in enumerate(groups)]
    if classes is None:
        return _in_turn(order, whole)
    return _in_turn(_in_turn(order, list(zip(classes, whole, strict=True))), classes)


def spread_over_groups(items: Sequence[Mapping[str, Any]], limit: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return a random sample of at most ``limit`` items (0 for all) from as many groups as possible, in their order."""
    drawn = np.random.default_rng(seed).permutation(len(items)).tolist()
    order = spread(drawn, [item.get(GROUP) for item in items])
    return [dict(items[position]) for position in sorted(order[: limit or None])]


def _in_turn(order: Iterable[int], keys: Sequence[Any]) -> list[int]:
    """The first of each key, then the second of each, and so on."""
    given: Counter[Any] = Counter()
    turns: dict[int, int] = {}
    for position in order:
        turns[position] = given[keys[position]]
        given[keys[position]] += 1
    return sorted(turns, key=turns.__getitem__)
