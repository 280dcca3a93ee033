"""The data report: what a person should know of a data set and its split before trusting a figure measured on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.classes import Classes, display_name
from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.data.copies import COPY_LIKENESS, Copy
from braintumor_ext.data.duplicates import NEAR_DUPLICATE_CORRELATION, Grouping, byte_duplicates, connected_sets
from braintumor_ext.data.extra import REASONS
from braintumor_ext.data.inspection import InspectedSlice
from braintumor_ext.data.sampling import spread
from braintumor_ext.data.split import SECTIONS, draw_by_name
from braintumor_ext.data.trivial_baselines import MeasuredSlices, measure_baselines
from braintumor_ext.errors import InputError
from braintumor_ext.files import write_json, write_text
from braintumor_ext.plots import picture_grid, save_png
from braintumor_ext.reporting import render
from braintumor_ext.transforms import read_grey, read_mask

SMALL_SIDE = 224
"""Slices with a shorter side are enlarged for the network."""

SHEET_COLUMNS = 8


def build_report(
    slices: Sequence[InspectedSlice],
    near_pairs: np.ndarray,
    copies: Sequence[Copy],
    grouping: Grouping,
    classes: Classes,
    facts: Mapping[str, Any],
    left_out: Sequence[InputError],
    notes: Sequence[str],
    found: int,
) -> dict[str, Any]:
    """Gather the report on the usable slices, grouped and split, of values that JSON can hold.

    ``near_pairs`` are (M, 2) positions of near-duplicates, ``facts`` of the preparation itself, ``left_out`` what could
    not be taken over, and ``found`` is how many image files there were.
    """
    near_sets = connected_sets(len(slices), near_pairs)
    return {
        **facts,
        "empty_class": classes.empty,
        "images": {"found": found, "used": len(slices)},
        "counts": _counts(slices, classes),
        "trivial_baselines": _baselines(slices, classes),
        "groups": _groups(slices, grouping),
        "byte_duplicates": _sets(slices, byte_duplicates([s.sha256 for s in slices])),
        "near_duplicates": {
            "correlation_above": NEAR_DUPLICATE_CORRELATION,
            **_sets(slices, [members for members in near_sets if len(members) > 1]),
        },
        "copies": {"likeness_from": COPY_LIKENESS, "pairs": len(copies), "across": _across(slices, copies)},
        "masks": _masks(slices, classes),
        "below_224": [
            {"image": s.key, "width": s.properties.width, "height": s.properties.height}
            for s in slices
            if min(s.properties.width, s.properties.height) < SMALL_SIDE
        ],
        "suspicious": [{"image": s.key, "signs": s.suspicions} for s in slices if s.suspicions],
        "left_out": [{"file": p.path, "problem": p.problem, "remedy": p.remedy} for p in left_out],
        "notes": list(notes),
    }


def _counts(slices: Sequence[InspectedSlice], classes: Classes) -> dict[str, dict[str, int]]:
    tally = Counter((s.class_name, s.section) for s in slices)
    rows = {name: {section: tally[name, section] for section in SECTIONS} for name in classes}
    rows["all"] = {section: sum(row[section] for row in rows.values()) for section in SECTIONS}
    return {name: {**row, "total": sum(row.values())} for name, row in rows.items()}


def _baselines(slices: Sequence[InspectedSlice], classes: Classes) -> dict[str, dict[str, Any]]:
    """Both baselines from training to validation and to test; empty where one side has no images."""
    measured = {}
    for name in SECTIONS:
        side = [s for s in slices if s.section == name]
        indices = [classes.index(s.class_name) for s in side]
        measured[name] = MeasuredSlices([s.thumbnail for s in side], [s.properties for s in side], indices)
    return {name: measure_baselines(measured["training"], measured[name]) for name in SECTIONS[1:]}


def _groups(slices: Sequence[InspectedSlice], grouping: Grouping) -> dict[str, Any]:
    members: dict[str, list[InspectedSlice]] = defaultdict(list)
    for slice_ in slices:
        members[slice_.group].append(slice_)
    mixed = {group: inside for group, inside in members.items() if len({s.class_name for s in inside}) > 1}
    return {
        "count": len(members),
        "largest": max(len(inside) for inside in members.values()),
        "images_without_given_group": grouping.found,
        "joined": grouping.joined,
        "divided_by_split": sum(len({s.section for s in inside}) > 1 for inside in members.values()),
        "with_two_classes": [
            {"group": group, "classes": dict(Counter(s.class_name for s in inside)), "images": [s.key for s in inside]}
            for group, inside in sorted(mixed.items())
        ],
    }


def _across(slices: Sequence[InspectedSlice], copies: Sequence[Copy]) -> list[dict[str, Any]]:
    """Copies of two groups, those that lie in two sections first."""
    pairs = [(slices[c.first], slices[c.second], c) for c in copies]
    across = [
        {
            "images": [a.key, b.key],
            "groups": [a.group, b.group],
            "sections": [a.section, b.section],
            "likeness": round(copy.likeness, 4),
            "mirrored": copy.mirrored,
        }
        for a, b, copy in pairs
        if a.group != b.group
    ]
    return sorted(across, key=lambda pair: (pair["sections"][0] == pair["sections"][1], pair["images"]))


def _sets(slices: Sequence[InspectedSlice], sets: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Facts on sets of like images: how many, across sections, across classes."""
    inside = [[slices[position] for position in members] for members in sets]
    return {
        "sets": len(inside),
        "images": sum(len(members) for members in inside),
        "sets_across_splits": sum(len({s.section for s in members}) > 1 for members in inside),
        "sets_across_classes": sum(len({s.class_name for s in members}) > 1 for members in inside),
        "members": [[s.key for s in members] for members in inside],
    }


def _masks(slices: Sequence[InspectedSlice], classes: Classes) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for name in classes:
        members = [s for s in slices if s.class_name == name]
        if name == classes.empty:
            table[name] = {"known": len(members), "unknown": [], "without_tumour": [], "doubtful": []}
            continue
        table[name] = {
            "known": sum(s.mask is not None for s in members),
            "unknown": [s.key for s in members if s.mask is None],
            "without_tumour": [s.key for s in members if s.mask_area == 0],
            "doubtful": [{"image": s.key, "signs": s.mask_signs} for s in members if s.mask_signs],
        }
    return table


def write_report(report: Mapping[str, Any], slices: Sequence[InspectedSlice], classes: Classes, output: Path) -> None:
    """Write ``data_report.json``, ``data_report.md`` and ``contact_sheet.png``."""
    write_json(output / "data_report.json", report)
    write_text(output / "data_report.md", report_markdown(report))
    _draw_contact_sheet(slices, classes, output / "contact_sheet.png")


def report_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a person reads it."""
    masks = report["masks"].values()
    return render(
        "data_report.md",
        **report,
        sections=SECTIONS,
        small_side=SMALL_SIDE,
        warning=copies_warning(report["copies"]),
        divided=list(map(_pair_line, _divided(report["copies"]))),
        extra_told=extra_line(report["extra"]).removeprefix("extra: ") if report["extra"] is not None else "",
        unknown=[f"unknown: {key}" for found in masks for key in found["unknown"]],
        without_tumour=[f"without a tumour pixel: {key}" for found in masks for key in found["without_tumour"]],
        doubtful=[f"doubtful: {_with_signs(entry)}" for found in masks for entry in found["doubtful"]],
        small=[f"{entry['image']}: {entry['width']}x{entry['height']}" for entry in report["below_224"]],
        signs=list(map(_with_signs, report["suspicious"])),
        problems=[f"{entry['file']}: {entry['problem']}. {entry['remedy']}." for entry in report["left_out"]],
    )


def _with_signs(entry: Mapping[str, Any]) -> str:
    return f"{entry['image']}: {'; '.join(entry['signs'])}"


def extra_line(extra: Mapping[str, Any]) -> str:
    """Say in a line what became of the extra slices."""
    images = extra["images"]
    group, copy, identical = (f"{len(extra['left_out'][reason]):,}" for reason in REASONS)
    classes = ", ".join(f"{count:,} {name}" for name, count in extra["classes"].items()) or "none"
    return (
        f"extra: {images['used']:,} of {images['found']:,} slices ({classes}); left out: {group} of groups in "
        f"validation or test, {copy} in groups with a copy of a slice there, {identical} whose file is in the set "
        "already"
    )


def copies_warning(copies: Mapping[str, Any]) -> str | None:
    """Say in a line how many copies stand on two sides of the split in spite of it; None if there are none."""
    divided = _divided(copies)
    if not divided:
        return None
    return (
        f"{len(divided):,} pairs of copies have different groups and stand in different sections, e.g. "
        f"{_pair_line(divided[0])}. Groups that are given stay as they are: give a pair one group if it is one patient"
    )


def _divided(copies: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [pair for pair in copies["across"] if len(set(pair["sections"])) > 1]


def _pair_line(pair: Mapping[str, Any]) -> str:
    named = (f"{image} ({section})" for image, section in zip(pair["images"], pair["sections"], strict=True))
    return " and ".join(named) + (", mirrored" if pair["mirrored"] else "")


def _draw_contact_sheet(slices: Sequence[InspectedSlice], classes: Classes, path: Path) -> None:
    """Write a PNG with a row of slices for each class, tumours outlined.

    Which slices are shown depends on their names only, and no two of a group while there are others.
    """
    figure, grid = picture_grid(len(classes), SHEET_COLUMNS, 1.6 * SHEET_COLUMNS, 1.75 * len(classes))
    for row, name in zip(grid, classes, strict=True):
        for axes, slice_ in zip(row, _chosen([s for s in slices if s.class_name == name]), strict=False):
            axes.imshow(read_grey(slice_.found.path), cmap="gray", vmin=0, vmax=1)
            if slice_.mask is not None and slice_.mask_area:
                axes.contour(read_mask(slice_.mask), levels=[0.5], colors=[OKABE_ITO[0]], linewidths=1.2)
        row[0].set_title(display_name(name), loc="left", fontsize=11)
    save_png(figure, path)


def _chosen(slices: Sequence[InspectedSlice]) -> list[InspectedSlice]:
    drawn = sorted(range(len(slices)), key=lambda position: draw_by_name(0, slices[position].key))
    return [slices[position] for position in spread(drawn, [s.group for s in slices])[:SHEET_COLUMNS]]
