"""The splits of a comparison: the same images divided anew, by group or at random, and stored."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from braintumor_ext.classes import Classes
from braintumor_ext.data.datalist import load_datalist, shown_name, write_datalist
from braintumor_ext.data.split import EXTRA, SECTIONS, SplitItem, canonical, given_split, random_split
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.keys import CLASS, GROUP, IMAGE, LABEL

PROTOCOLS = ("grouped", "random")


@dataclass(frozen=True)
class Split:
    """One division of a data set.

    Args:
        protocol: ``grouped`` (a fold of a cross-validation) or ``random``.
        seed: the seed it was drawn with.
        fold: from 0; None for a random split.
        sections: the items of ``training``, ``validation`` and ``test``, with absolute paths; maybe of ``extra``.
        sha256: of what the items are (name, class, group, whether there is a mask) and where they stand.
    """

    protocol: str
    seed: int
    fold: int | None
    sections: Mapping[str, Sequence[Mapping[str, Any]]]
    sha256: str

    @property
    def name(self) -> str:
        """Its name in tables and file names, such as ``grouped-seed0-fold1``."""
        return f"{self.protocol}-seed{self.seed}" + ("" if self.fold is None else f"-fold{self.fold}")

    def describe(self) -> dict[str, Any]:
        """Return what a report says of it."""
        counts = {section: len(items) for section, items in self.sections.items()}
        return {"name": self.name, "hash": self.sha256, "seed": self.seed, "fold": self.fold, "counts": counts}

    def with_extra(self, items: Sequence[Mapping[str, Any]]) -> Split:
        """Return it with a section ``extra``; the hash is of that too."""
        names = sorted(short_names(items))
        sha256 = hashlib.sha256("\n".join([self.sha256, *names]).encode()).hexdigest()
        return replace(self, sections={**self.sections, EXTRA: items}, sha256=sha256)


def make_splits(
    items: Sequence[Mapping[str, Any]], protocol: str, seeds: Sequence[int], folds: int, classes: Classes
) -> list[Split]:
    """Divide the items by a protocol.

    ``grouped``: for each seed a K-fold cross-validation in which no group is divided; of each fold's other images, 15
    per cent, by groups, are its validation. ``random``: for each seed a stratified 70/15/15 split that divides groups,
    as in the published model's protocol.

    Args:
        items: of a loaded datalist, with absolute paths; where there is no ``group``, an image is its own.
        protocol: ``grouped`` or ``random``.
        seeds: one cross-validation, or one split, for each.
        folds: K of the cross-validation.

    Raises:
        InputError: when there are fewer groups than folds.
    """
    named = {canonical(name): item for name, item in zip(short_names(items), items, strict=True)}
    slices = [
        SplitItem(name, classes[item[CLASS]] if CLASS in item else "unknown", str(item.get(GROUP, name)))
        for name, item in named.items()
    ]
    if protocol == "random":
        return [_split(named, protocol, seed, None, random_split(slices, seed)) for seed in seeds]
    groups = len({item.group for item in slices})
    if not 2 <= folds <= groups:
        raise InputError(f"folds {folds}", f"there are {groups} groups to divide", f"Give --folds from 2 to {groups}")
    return [
        _split(named, protocol, seed, fold, given_split(slices, test, seed))
        for seed in seeds
        for fold, test in enumerate(grouped_folds(slices, folds, seed))
    ]


def _split(
    named: Mapping[str, Mapping[str, Any]], protocol: str, seed: int, fold: int | None, places: Mapping[str, str]
) -> Split:
    sections = {section: [named[n] for n in sorted(places) if places[n] == section] for section in SECTIONS}
    lines = [
        "\t".join([places[n], n, str(named[n].get(CLASS)), str(named[n].get(GROUP)), str(LABEL in named[n])])
        for n in sorted(places)
    ]
    return Split(protocol, seed, fold, sections, hashlib.sha256("\n".join(lines).encode()).hexdigest())


def short_names(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the images' paths below the folder that they share: the same on every machine."""
    paths = [Path(os.path.normpath(item[IMAGE])) for item in items]
    shared = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    return [path.relative_to(shared).as_posix() for path in paths]


def portable_names(items: Sequence[Mapping[str, Any]], dataset_dir: str | os.PathLike[str]) -> dict[str, str]:
    """Return the images' names in an evaluation's table, each with the name that is the same on every machine.

    Args:
        items: all images of the comparison, with absolute paths.
        dataset_dir: the prepared data set that the table's names are relative to.
    """
    return {
        shown_name(item, dataset_dir): shown_name({**item, IMAGE: short})
        for item, short in zip(items, short_names(items), strict=True)
    }


def all_items(dataset_dir: str | os.PathLike[str], classes: Classes) -> list[dict]:
    """Return the items of all sections of a data set's datalist.

    Raises:
        InputError: see :func:`~braintumor_ext.data.load_datalist`.
    """
    loaded = load_datalist(dataset_dir, classes=classes)
    return [item for section in SECTIONS for item in loaded[section]]


def store_split(split: Split, folder: Path, classes: Classes) -> Path:
    """Write a split as a datalist whose paths are relative to ``folder``; return its path."""

    def relative(item: Mapping[str, Any]) -> dict[str, Any]:
        moved = {key: Path(os.path.relpath(item[key], folder)).as_posix() for key in (IMAGE, LABEL) if key in item}
        return {**item, **moved}

    path = folder / f"{split.name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        **classes.stored(),
        "protocol": split.protocol,
        "split_seed": split.seed,
        "fold": split.fold,
        "sha256": split.sha256,
        **{section: [relative(item) for item in items] for section, items in split.sections.items()},
    }
    with replacing(path) as partial:
        write_datalist(partial, content)
    return path


def subset(items: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Return about ``count`` of the items, the classes' shares kept and groups whole where they are small.

    Takes of each class the smallest groups first, so that there are as many groups as can be.
    """
    sizes = Counter(str(item.get(GROUP, item[IMAGE])) for item in items)
    by_class: dict[Any, list[Mapping[str, Any]]] = {}
    for name, item in sorted(zip(short_names(items), items, strict=True), key=lambda pair: pair[0]):
        by_class.setdefault(item.get(CLASS), []).append({**item, "_name": name})
    chosen: list[Mapping[str, Any]] = []
    for members in by_class.values():
        members.sort(key=lambda item: (sizes[str(item.get(GROUP, item[IMAGE]))], str(item.get(GROUP)), item["_name"]))
        chosen += members[: max(round(count * len(members) / len(items)), 4)]
    return [{key: value for key, value in item.items() if key != "_name"} for item in chosen]


def grouped_folds(items: Sequence[SplitItem], folds: int, seed: int = 0) -> list[set[str]]:
    """Return the keys of a cross-validation's test sets: no group is divided, class shares are as even as can be.

    By scikit-learn's ``StratifiedGroupKFold``.
    """
    ordered = sorted(items, key=lambda item: item.key)
    classes, groups = (np.array([getattr(item, name) for item in ordered]) for name in ("class_name", "group"))
    divider = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [{ordered[i].key for i in test} for _, test in divider.split(ordered, classes, groups)]
