"""Fixed splits of a data set into training, validation and test.

Every function is pure: the result depends on the seed and on what the items are, never on their order, the machine, its
locale or its path separator. Randomness is SHA-256 of the seed and a name.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

SECTIONS: tuple[str, str, str] = ("training", "validation", "test")
"""The sections of a datalist that a split divides its images into."""

EXTRA = "extra"
"""A fourth section of a datalist: slices from elsewhere that training may draw on."""

SHARES: tuple[int, int, int] = (70, 15, 15)
"""Per cent of the images in training, validation and test."""


class SplitItem(NamedTuple):
    """What a split needs to know of an image: name with forward slashes, class, group (a patient, or look-alikes)."""

    key: str
    class_name: str
    group: str


def canonical(name: str) -> str:
    """Return a name as every platform spells it: forward slashes, composed accents (Unicode NFC)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def draw_by_name(seed: int, *names: str) -> int:
    """Return a number of 256 bits that depends on the seed and the names only."""
    text = "\0".join([str(seed), *map(canonical, names)])
    # names may hold bytes that are no text
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest(), "big")


def section_sizes(count: int, shares: Sequence[int] = SHARES) -> list[int]:
    """Divide a number of images by the method of largest remainders; the earlier section wins a tie.

    Raises:
        ValueError: if the shares, in per cent, do not sum to 100.
    """
    if sum(shares) != 100:
        raise ValueError(f"shares must sum to 100 per cent, got {tuple(shares)}")
    sizes = [count * share // 100 for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda s: (-(count * shares[s] % 100), s))
    for section in by_remainder[: count - sum(sizes)]:
        sizes[section] += 1
    return sizes


def stratified_sizes(class_counts: Sequence[int], shares: Sequence[int] = SHARES) -> list[list[int]]:
    """Divide each class so that the sections' totals are those of the whole set.

    Rounding each class by itself drifts: 826, 822, 827 and 395 images would give 2,010/430/430 where 70/15/15 of 2,870
    is 2,009/431/430. This is controlled rounding of a two-way table (Cox, 1987, JASA 82:520): every cell is its exact
    share rounded down or up, all row and column sums hold, and the sum of squared deviations is the least. Return
    ``sizes[class][section]`` of the number of images of each class.
    """
    floors = [[count * share // 100 for share in shares] for count in class_counts]
    wanted = section_sizes(sum(class_counts), shares)
    missing = tuple(total - sum(row[s] for row in floors) for s, total in enumerate(wanted))
    # Dynamic programming over the classes; a state is how many units each section still lacks.
    best: dict[tuple[int, ...], tuple[int, list[tuple[int, ...]]]] = {missing: (0, [])}
    for count, row in zip(class_counts, floors, strict=True):
        following: dict[tuple[int, ...], tuple[int, list[tuple[int, ...]]]] = {}
        for ups in _ways_to_round_up(len(shares), count - sum(row)):
            cost = sum((100 * (row[s] + up) - count * shares[s]) ** 2 for s, up in enumerate(ups))
            for state, (spent, path) in best.items():
                left = tuple(have - up for have, up in zip(state, ups, strict=True))
                candidate = (spent + cost, [*path, ups])
                if min(left) >= 0 and (left not in following or candidate < following[left]):
                    following[left] = candidate
        best = following
    _, rounding = best[tuple(0 for _ in shares)]
    return [[size + up for size, up in zip(row, ups, strict=True)] for row, ups in zip(floors, rounding, strict=True)]


def _ways_to_round_up(sections: int, units: int) -> list[tuple[int, ...]]:
    """All ways to round up ``units`` of the cells of a row, the earliest sections first."""
    masks = [tuple((bits >> s) & 1 for s in range(sections)) for bits in range(2**sections)]
    return sorted((m for m in masks if sum(m) == units), reverse=True)


def _by_class(items: Iterable[SplitItem]) -> dict[str, list[SplitItem]]:
    classes: dict[str, list[SplitItem]] = defaultdict(list)
    for item in items:
        classes[item.class_name].append(item)
    return dict(sorted(classes.items()))


def random_split(items: Sequence[SplitItem], seed: int = 0, shares: Sequence[int] = SHARES) -> dict[str, str]:
    """Split at random, stratified by class (the published protocol); groups are divided. Return each key's section."""
    classes = _by_class(items)
    sizes = stratified_sizes([len(members) for members in classes.values()], shares)
    split: dict[str, str] = {}
    for members, row in zip(classes.values(), sizes, strict=True):
        shuffled = sorted(members, key=lambda item: (draw_by_name(seed, item.key), item.key))
        sections = [section for section, size in zip(SECTIONS, row, strict=True) for _ in range(size)]
        split |= {item.key: section for item, section in zip(shuffled, sections, strict=True)}
    return split


def grouped_split(items: Sequence[SplitItem], seed: int = 0, shares: Sequence[int] = SHARES) -> dict[str, str]:
    """Split so that a group is never divided and class shares are as near as the groups allow.

    The sections' places are an urn for each class, of the sizes that ``random_split`` would give. Groups come largest
    first (small ones can fill what is left); each is drawn into a section in which it fits, with the odds of the free
    places there, so that large patients reach the test set as often as their size warrants. A group that fits nowhere
    goes where it overfills least. A class always reaches as many sections as it has groups. A group may hold several
    classes. Return each key's section.
    """
    classes = _by_class(items)
    sizes = stratified_sizes([len(members) for members in classes.values()], shares)
    free = {name: list(row) for name, row in zip(classes, sizes, strict=True)}
    reached: dict[str, set[int]] = {name: set() for name in classes}
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        groups[item.group][item.class_name] += 1
    left = Counter(name for members in groups.values() for name in members)

    used = [s for s, share in enumerate(shares) if share > 0]
    section_of: dict[str, int] = {}
    for group in sorted(groups, key=lambda g: (-groups[g].total(), draw_by_name(seed, "group", g), g)):
        members = groups[group]
        # Where a class has no group to spare, this one must go to a section that the class has not reached yet.
        short = [n for n in members if left[n] <= len(used) - len(reached[n])]
        allowed = [s for s in used if all(s not in reached[n] for n in short)] or used
        section = _choose(members, free, allowed, must_reach=bool(short), draw=draw_by_name(seed, "section", group))
        section_of[group] = section
        for name, count in members.items():
            free[name][section] -= count
            reached[name].add(section)
            left[name] -= 1
    return {item.key: SECTIONS[section_of[item.group]] for item in items}


def _choose(
    members: Counter[str], free: dict[str, list[int]], allowed: Sequence[int], must_reach: bool, draw: int
) -> int:
    """Choose the section of one group among the allowed ones."""
    fitting = [s for s in allowed if all(free[name][s] >= count for name, count in members.items())]
    if fitting and not must_reach:
        tickets = [sum(free[name][s] for name in members) for s in fitting]
        ticket = draw % sum(tickets)
        for section, count in zip(fitting, tickets, strict=True):
            if ticket < count:
                return section
            ticket -= count
    return min(allowed, key=lambda s: (sum((free[n][s] - c) ** 2 - free[n][s] ** 2 for n, c in members.items()), s))


def external_split(items: Sequence[SplitItem]) -> dict[str, str]:
    """Put every image to the test section: a set that a model has never seen."""
    return {item.key: "test" for item in items}


def given_split(items: Sequence[SplitItem], test_keys: Iterable[str], seed: int = 0) -> dict[str, str]:
    """Keep a published division and cut 15 per cent of its training part, by groups, as validation."""
    held_out = set(test_keys)
    split = grouped_split([item for item in items if item.key not in held_out], seed, shares=(85, 15, 0))
    return split | {item.key: "test" for item in items if item.key in held_out}
