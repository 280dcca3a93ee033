"""Preparation: from a folder of slices to a fixed split, a datalist and a report on the data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from braintumor_ext.classes import CLASSES, FOLDER_NAMES, Classes
from braintumor_ext.data.compact import JPEG_QUALITY, write_bit_mask, write_compact_image
from braintumor_ext.data.copies import Copy, find_copies, positions
from braintumor_ext.data.data_report import build_report, write_report
from braintumor_ext.data.datalist import DATALIST_JSON, datalist_text, write_datalist
from braintumor_ext.data.duplicates import Grouping, group_slices, near_duplicate_pairs
from braintumor_ext.data.extra import choose_extra, read_extra
from braintumor_ext.data.file_properties import write_items_csv
from braintumor_ext.data.folder_scan import FolderScan, read_groups, scan_folder
from braintumor_ext.data.in_threads import map_in_threads
from braintumor_ext.data.inspection import InspectedSlice, inspect_slices
from braintumor_ext.data.split import (
    EXTRA,
    SECTIONS,
    SplitItem,
    external_split,
    given_split,
    grouped_split,
    random_split,
)
from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing
from braintumor_ext.keys import CLASS, GROUP, IMAGE, LABEL
from braintumor_ext.transforms import read_grey, read_mask
from braintumor_ext.transforms.formats import without_suffix

PROTOCOLS: tuple[str, ...] = ("grouped", "random", "external", "given")
"""How images are divided; see ``braintumor_ext.data.split``."""


@dataclass(frozen=True)
class Preparation:
    """What a preparation did: the datalist, the report as in ``data_report.json``, and what could not be taken over."""

    datalist: Path
    report: dict[str, Any]
    left_out: list[InputError]


def prepare(
    images: Path,
    output: Path,
    masks: Path | None = None,
    groups: Path | None = None,
    protocol: str = "grouped",
    split_seed: int = 0,
    size: int | None = None,
    classes: Classes = CLASSES,
    folder_table: Mapping[str, str] = FOLDER_NAMES,
    overwrite: bool = False,
    extra: Path | None = None,
    extra_masks: Path | None = None,
    extra_groups: Path | None = None,
) -> Preparation:
    """Prepare a data set: scan, inspect, group, split, write, report.

    Args:
        images: holds one folder for each class, or ``Training`` (and ``Testing``) that do.
        output: the data set's folder; made if absent.
        masks: holds masks in the same folders under the same stems; without it tumour masks are unknown.
        groups: CSV with the columns image and group; images that it lacks are grouped by near-duplicates and copies.
        protocol: one of ``PROTOCOLS``.
        split_seed: the split's seed.
        size: write compact copies with this short side in pixels; without it images stay where they are.
        folder_table: normalised folder name to class name.
        overwrite: put another datalist in the place of one that is there; the old one is renamed.
        extra: slices that training may draw on beside its own, in the same layout; see ``choose_extra`` for which
            of them become the section ``extra``. They take no part in the split and in the baselines.
        extra_masks: their masks.
        extra_groups: their groups, under the same names as in ``groups``.

    Raises:
        InputError: if nothing can be prepared, a different datalist is there already, or another preparation writes to
            the folder.
    """
    _check_options(images, output, protocol, size, classes)
    _check_extra(output, protocol, extra, extra_masks, extra_groups)
    scan = scan_folder(images, masks, classes, folder_table)
    if protocol == "given" and not scan.has_parts:
        remedy = "Use --protocol grouped, or name the published division's folders Training and Testing"
        raise InputError(images, "does not hold both Training and Testing, which --protocol given keeps", remedy)
    slices, unusable = inspect_slices(scan.slices, classes)
    left_out = [*scan.left_out, *unusable]
    if not slices:
        first = unusable[0]
        problem = f"none of its {len(scan.slices)} image(s) can be used. The first one: {first.path}: {first.problem}"
        raise InputError(images, problem, first.remedy)

    near_pairs = near_duplicate_pairs(np.stack([s.thumbnail for s in slices]))
    copies = find_copies(np.stack([s.framed for s in slices]))
    grouping = _group(slices, near_pairs, copies, groups, scan)
    _split(slices, protocol, split_seed)
    extra_facts = None
    usable = slices
    if extra is not None:
        pool = read_extra(extra, extra_masks, extra_groups, classes, folder_table)
        chosen, extra_facts = choose_extra(pool, slices, grouping.joined)
        left_out += pool.left_out
        scan.notes += pool.notes
        usable = [*slices, *chosen]
    items = _items(usable, output.resolve(), size, classes)
    content = _datalist(items, usable, images, protocol, split_seed, classes)
    output.mkdir(parents=True, exist_ok=True)
    with _alone_in(output):
        if (renamed := _make_way(output / DATALIST_JSON, content, overwrite)) is not None:
            scan.notes.append(f"the datalist that was there is now {renamed.name}")
        compact = _write_files(usable, items, output, size, classes)
        write_datalist(output / DATALIST_JSON, content)
        write_items_csv(output, [_row(s, item) for s, item in zip(usable, items, strict=True)])

        facts = {
            "name": content["name"],
            "protocol": protocol,
            "split_seed": split_seed,
            "masks_given": masks is not None,
            "groups_given": groups is not None,
            "compact": compact,
            "extra": extra_facts,
            "passed_over": scan.passed_over,
        }
        report = build_report(
            slices, near_pairs, copies, grouping, classes, facts, left_out, scan.notes, len(scan.slices)
        )
        write_report(report, slices, classes, output)
    return Preparation(output / DATALIST_JSON, report, left_out)


@contextmanager
def _alone_in(output: Path) -> Iterator[None]:
    """Keep other preparations out of a folder for the block."""
    try:
        with FileLock(output / ".lock", timeout=0):
            yield
    except Timeout:
        raise InputError(output, "is being written to by another preparation", "Give another --output") from None


def _check_options(images: Path, output: Path, protocol: str, size: int | None, classes: Classes) -> None:
    if protocol not in PROTOCOLS:
        raise InputError("--protocol", f"{protocol!r} is no protocol", f"Use one of {', '.join(PROTOCOLS)}")
    if size is not None and size < 32:
        raise InputError("--size", f"{size} pixels are fewer than the network takes", "Give at least 32, e.g. 224")
    if output.resolve().is_relative_to(images.resolve()):
        raise InputError(output, f"lies in the folder of images {images}", "Write to a folder outside of it")


def _check_extra(
    output: Path, protocol: str, extra: Path | None, extra_masks: Path | None, extra_groups: Path | None
) -> None:
    if extra is None:
        for name, value in (("--extra-masks", extra_masks), ("--extra-groups", extra_groups)):
            if value is not None:
                raise InputError(name, "was given without --extra", "Give the folder of the extra slices by --extra")
        return
    if protocol == "external":
        remedy = "Leave --extra away, or use another protocol"
        raise InputError("--extra", "is for training, and --protocol external leaves nothing to train on", remedy)
    if output.resolve().is_relative_to(extra.resolve()):
        raise InputError(output, f"lies in the folder of extra slices {extra}", "Write to a folder outside of it")


def _group(
    slices: list[InspectedSlice], near_pairs: np.ndarray, copies: list[Copy], groups: Path | None, scan: FolderScan
) -> Grouping:
    given: dict[str, str] = {}
    if groups is not None:
        # Rows of images that could not be read are no mistake of the table's.
        given, notes = read_groups(groups, [s.key for s in scan.slices])
        scan.notes += notes
    alike = np.concatenate([near_pairs, positions(copies)])
    grouping = group_slices([s.key for s in slices], [s.sha256 for s in slices], alike, given)
    for slice_, name in zip(slices, grouping.names, strict=True):
        slice_.group = name
    return grouping


def _split(slices: list[InspectedSlice], protocol: str, seed: int) -> None:
    wanted = [SplitItem(s.key, s.class_name, s.group) for s in slices]
    if protocol == "random":
        section = random_split(wanted, seed)
    elif protocol == "external":
        section = external_split(wanted)
    elif protocol == "given":
        section = given_split(wanted, [s.key for s in slices if s.found.in_test_part], seed)
    else:
        section = grouped_split(wanted, seed)
    for slice_ in slices:
        slice_.section = section[slice_.key]


def _items(slices: Sequence[InspectedSlice], folder: Path, size: int | None, classes: Classes) -> list[dict[str, Any]]:
    """Datalist items without class indices, in the order of the slices."""
    items = []
    for slice_, name in zip(slices, _file_names([s.key for s in slices]), strict=True):
        item: dict[str, Any] = {
            IMAGE: _relative(slice_.found.path, folder) if size is None else f"images/{name}.jpg",
        }
        if slice_.class_name == classes.empty or (slice_.mask is not None and size is not None):
            item[LABEL] = f"masks/{name}.png"
        elif slice_.mask is not None:
            item[LABEL] = _relative(slice_.mask, folder)
        items.append(item)
    return items


def _file_names(keys: Sequence[str]) -> list[str]:
    """The keys without suffixes, for files that are written; a.jpg and a.png of one folder become a and a_png."""
    taken: set[str] = set()
    names = []
    for key in keys:
        name = without_suffix(key)
        suffix = key[len(name) :].replace(".", "_") or "_"
        # Lower case: file systems that ignore case must not take two slices for one.
        while name.lower() in taken:
            name += suffix
        taken.add(name.lower())
        names.append(name)
    return names


def _relative(path: Path, folder: Path) -> str:
    """A path relative to a folder, with forward slashes; absolute if it is on another drive."""
    try:
        return Path(os.path.relpath(path.resolve(), folder)).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def _datalist(
    items: Sequence[dict[str, Any]],
    slices: Sequence[InspectedSlice],
    images: Path,
    protocol: str,
    split_seed: int,
    classes: Classes,
) -> dict[str, Any]:
    names = dict.fromkeys([*SECTIONS, *(s.section for s in slices)])  # `extra` only where there are such slices
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for item, slice_ in zip(items, slices, strict=True):
        known = {CLASS: classes.index(slice_.class_name), GROUP: slice_.group}
        sections[slice_.section].append({**item, **known})
    return {
        "name": images.resolve().name,
        "description": "Brain MRI slices with class and tumour mask; paths are relative to this file. An item without "
        "label has an unknown mask, one without class an unknown class",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "tumour"},
        **classes.stored(),
        "protocol": protocol,
        "split_seed": split_seed,
        "numTraining": len(sections["training"]),
        "numValidation": len(sections["validation"]),
        "numTest": len(sections["test"]),
        **({"numExtra": len(sections[EXTRA])} if EXTRA in sections else {}),
        **sections,
    }


def _make_way(path: Path, content: Mapping[str, Any], overwrite: bool) -> Path | None:
    """Rename a datalist of other content that stands in the way, if that is allowed; return its new name."""
    if not path.exists() or path.read_bytes() == datalist_text(content).encode():
        return None
    if not overwrite:
        remedy = "Give another --output, or --overwrite to keep the old one under a name with its date and write anew"
        raise InputError(path, "a datalist of other content is there already", remedy)
    return backup_existing(path)


def _write_files(
    slices: Sequence[InspectedSlice],
    items: Sequence[Mapping[str, Any]],
    output: Path,
    size: int | None,
    classes: Classes,
) -> dict[str, Any] | None:
    """Write empty masks and, where a size is given, the compact copies; return what the copies cost."""

    def write(pair: tuple[InspectedSlice, Mapping[str, Any]]) -> float | None:
        slice_, item = pair
        if slice_.class_name == classes.empty:
            shape = (slice_.properties.height, slice_.properties.width)
            write_bit_mask(np.zeros(shape, dtype=bool), output / item[LABEL], size)
        elif size is not None and slice_.mask is not None:
            write_bit_mask(read_mask(slice_.mask), output / item[LABEL], size)
        return write_compact_image(read_grey(slice_.found.path), output / item[IMAGE], size) if size else None

    pairs = list(zip(slices, items, strict=True))
    kept = map_in_threads(write, pairs, "writing")
    if size is None:
        return None
    ratios = np.array([min(ratio, 99.0) for ratio in kept if ratio is not None])
    image_bytes = sum((output / item[IMAGE]).stat().st_size for item in items)
    mask_bytes = sum((output / item[LABEL]).stat().st_size for item in items if LABEL in item)
    return {
        "size": size,
        "format": f"8-bit grey JPEG, quality {JPEG_QUALITY}; one-bit PNG masks",
        "mebibytes": round((image_bytes + mask_bytes) / 2**20, 2),
        "shrunk": sum(min(s.properties.width, s.properties.height) > size for s in slices),
        "psnr_db": {"mean": round(float(ratios.mean()), 1), "lowest": round(float(ratios.min()), 1)},
    }


def _row(slice_: InspectedSlice, item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "image": item[IMAGE],
        "source": slice_.found.source,
        "class": slice_.class_name,
        "group": slice_.group,
        "split": slice_.section,
        "sha256": slice_.sha256,
        **vars(slice_.properties),
    }
