"""Byte duplicates, near-duplicates and the groups that follow from them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from braintumor_ext.data.thumbnails import unit_vectors

NEAR_DUPLICATE_CORRELATION = 0.98
"""Slices whose thumbnails correlate more than this are taken for copies or neighbours of one another."""

_BLOCK = 1024  # rows of the correlation matrix held in memory at a time


def byte_duplicates(digests: Sequence[str]) -> list[list[int]]:
    """Return the sets of positions that hold the same digest, in the order of their first members."""
    return [members for members in _positions(digests) if len(members) > 1]


def near_duplicate_pairs(thumbnails: np.ndarray, threshold: float = NEAR_DUPLICATE_CORRELATION) -> np.ndarray:
    """Return the pairs of thumbnails, (N, 48, 48), that correlate more than a threshold.

    (M, 2) positions, the smaller first, in ascending order.
    """
    vectors = unit_vectors(thumbnails)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(vectors), _BLOCK):
        first, second = np.nonzero(vectors[start : start + _BLOCK] @ vectors[start:].T > threshold)
        upper = second > first
        pairs.append(np.stack([first[upper] + start, second[upper] + start], axis=1))
    return np.concatenate(pairs)


def connected_sets(count: int, pairs: np.ndarray) -> list[list[int]]:
    """Return the sets of positions 0..count-1 that pairs, (M, 2), connect, in the order of their first members."""
    pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return _positions(connected_components(graph, directed=False)[1].tolist())


def _positions(values: Sequence[Hashable]) -> list[list[int]]:
    """Return where each value stands, in the order of their first places."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for position, value in enumerate(values):
        places[value].append(position)
    return list(places.values())


@dataclass(frozen=True)
class Grouping:
    """The group of each slice and how it came about."""

    names: list[str]  # one group name for each slice
    joined: list[list[str]]  # given names that became one: they share a file, or one ungrouped slice is like both
    found: int  # how many slices had no given group


def group_slices(
    keys: Sequence[str], digests: Sequence[str], alike: np.ndarray, given: Mapping[str, str] | None = None
) -> Grouping:
    """Give each slice a group: the given one, or else that of its near-duplicates and copies.

    Byte-identical files always share a group. Slices that are alike join where at least one of the two has no given
    group (patients that are known outrank likeness).

    Slices are told by their unique ``keys`` and the SHA-256 ``digests`` of their files; ``alike`` are (M, 2) positions,
    and ``given`` is the group by key, where it is known.
    """
    given = given or {}
    group_of = [given.get(key) for key in keys]
    chains = [members for members in _positions(group_of) if group_of[members[0]] is not None]
    chains += byte_duplicates(digests)
    edges = [(a, b) for chain in chains for a, b in itertools.pairwise(chain)]
    edges += [(int(a), int(b)) for a, b in alike if group_of[a] is None or group_of[b] is None]
    names, joined = [""] * len(keys), []
    for members in connected_sets(len(keys), np.array(edges)):
        given_names = sorted({name for position in members if (name := group_of[position]) is not None})
        # An unnamed set is called after its first slice: the name depends on no other slice and on no order.
        name = given_names[0] if given_names else f"near:{min(keys[position] for position in members)}"
        for position in members:
            names[position] = name
        if len(given_names) > 1:
            joined.append(given_names)
    return Grouping(names, sorted(joined), sum(name is None for name in group_of))
