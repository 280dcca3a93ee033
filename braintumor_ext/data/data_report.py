"""The data report: what a person should know of a data set and its split before trusting a figure measured on it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from braintumor_ext.data.classes import display_name
from braintumor_ext.data.copies import COPY_LIKENESS, Copy
from braintumor_ext.data.duplicates import NEAR_DUPLICATE_CORRELATION, Grouping, byte_duplicates, connected_sets
from braintumor_ext.data.extra import REASONS
from braintumor_ext.data.inspection import InspectedSlice
from braintumor_ext.data.split import SECTIONS
from braintumor_ext.data.trivial_baselines import baseline_table, file_property_baseline, nearest_neighbour_baseline
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.transforms import read_grey, read_mask

SMALL_SIDE = 224
"""Slices with a shorter side are enlarged for the network."""

_SHEET_COLUMNS = 8
_OUTLINE = "#E69F00"  # Okabe and Ito's orange: told from grey by every eye
_SHOWN = 20


def build_report(
    slices: Sequence[InspectedSlice],
    near_pairs: np.ndarray,
    copies: Sequence[Copy],
    grouping: Grouping,
    class_names: Sequence[str],
    facts: Mapping[str, Any],
    left_out: Sequence[InputError],
    notes: Sequence[str],
    found: int,
) -> dict[str, Any]:
    """Gather the report.

    Args:
        slices: the usable slices, grouped and split.
        near_pairs: (M, 2) positions of near-duplicates.
        copies: pairs of copies, mirrored or cropped ones too.
        grouping: how the groups came about.
        class_names: the classes in the order of their indices.
        facts: on the preparation itself: name, protocol, split_seed, masks_given, groups_given, empty_class,
            compact, extra, passed_over.
        left_out: what could not be taken over.
        notes: further remarks.
        found: how many image files there were.

    Returns:
        Values that JSON can hold.
    """
    near_sets: dict[int, list[int]] = defaultdict(list)
    for position, number in enumerate(connected_sets(len(slices), near_pairs)):
        near_sets[int(number)].append(position)
    return {
        **facts,
        "images": {"found": found, "used": len(slices)},
        "counts": _counts(slices, class_names),
        "trivial_baselines": _baselines(slices, class_names),
        "groups": _groups(slices, grouping),
        "byte_duplicates": _sets(slices, byte_duplicates([s.sha256 for s in slices])),
        "near_duplicates": {
            "correlation_above": NEAR_DUPLICATE_CORRELATION,
            **_sets(slices, [members for members in near_sets.values() if len(members) > 1]),
        },
        "copies": {"likeness_from": COPY_LIKENESS, "pairs": len(copies), "across": _across(slices, copies)},
        "masks": _masks(slices, class_names, facts["empty_class"]),
        "below_224": [
            {"image": s.key, "width": s.properties.width, "height": s.properties.height}
            for s in slices
            if min(s.properties.width, s.properties.height) < SMALL_SIDE
        ],
        "suspicious": [{"image": s.key, "signs": s.suspicions} for s in slices if s.suspicions],
        "left_out": [{"file": p.path, "problem": p.problem, "remedy": p.remedy} for p in left_out],
        "notes": list(notes),
    }


def _counts(slices: Sequence[InspectedSlice], class_names: Sequence[str]) -> dict[str, dict[str, int]]:
    tally = Counter((s.class_name, s.section) for s in slices)
    rows = {name: {section: tally[name, section] for section in SECTIONS} for name in class_names}
    rows["all"] = {section: sum(row[section] for row in rows.values()) for section in SECTIONS}
    return {name: {**row, "total": sum(row.values())} for name, row in rows.items()}


def _baselines(slices: Sequence[InspectedSlice], class_names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Both baselines from training to validation and to test; empty where one side has no images."""
    sides = {name: [s for s in slices if s.section == name] for name in SECTIONS}
    classes = {name: [list(class_names).index(s.class_name) for s in side] for name, side in sides.items()}
    thumbnails = {name: np.array([s.thumbnail for s in side]) for name, side in sides.items()}
    files = {name: [s.properties for s in side] for name, side in sides.items()}
    baselines: dict[str, dict[str, Any]] = {}
    for name in SECTIONS[1:]:
        baselines[name] = {}
        if sides["training"] and sides[name]:
            baselines[name] = baseline_table(
                nearest_neighbour_baseline(
                    thumbnails["training"], classes["training"], thumbnails[name], classes[name]
                ),
                file_property_baseline(files["training"], classes["training"], files[name], classes[name]),
            )
    return baselines


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


def _masks(
    slices: Sequence[InspectedSlice], class_names: Sequence[str], empty_class: str | None
) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for name in class_names:
        members = [s for s in slices if s.class_name == name]
        if name == empty_class:
            table[name] = {"known": len(members), "unknown": [], "without_tumour": [], "doubtful": []}
            continue
        table[name] = {
            "known": sum(s.mask is not None for s in members),
            "unknown": [s.key for s in members if s.mask is None],
            "without_tumour": [s.key for s in members if s.mask_area == 0],
            "doubtful": [{"image": s.key, "signs": s.mask_signs} for s in members if s.mask_signs],
        }
    return table


def write_report(report: Mapping[str, Any], slices: Sequence[InspectedSlice], output: Path) -> None:
    """Write ``data_report.json``, ``data_report.md`` and ``contact_sheet.png``.

    Args:
        report: what ``build_report`` returned.
        slices: the slices of the contact sheet.
        output: the folder to write to.
    """
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    # Names may hold bytes that are no text: an escape of JSON's stands for each.
    for name, content in (("data_report.json", text + "\n"), ("data_report.md", report_markdown(report))):
        with replacing(output / name) as partial:
            partial.write_text(content, encoding="utf-8", errors="backslashreplace")
    classes = [name for name in report["counts"] if name != "all"]
    contact_sheet(slices, classes).savefig(output / "contact_sheet.png")


def report_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a person reads it.

    Args:
        report: what ``build_report`` returned.
    """
    groups, masks = report["groups"], report["masks"]
    classes = list(masks)
    images, passed_over = report["images"], sum(map(len, report["passed_over"].values()))
    lines = [
        f"# Data report: {report['name']}",
        "",
        f"Protocol `{report['protocol']}`, split seed {report['split_seed']}. Used are {images['used']:,} of "
        f"{images['found']:,} image files"
        + (f"; {passed_over:,} further files are no slices (see the notes)." if passed_over else "."),
        "",
        "## Images per class and section",
        "",
        *_table(
            ["class", *SECTIONS, "total"],
            [[name, *(f"{row[c]:,}" for c in (*SECTIONS, "total"))] for name, row in report["counts"].items()],
        ),
        "",
        "## Trivial baselines",
        "",
        "What a network must clearly beat. Nearest neighbour: the class of the training slice whose 48x48 thumbnail "
        "correlates best. File properties: a decision tree on width, height, mode and bytes, without any pixel.",
        "",
        *_table(["section", "n", "nearest neighbour", "file properties"], _baseline_rows(report["trivial_baselines"])),
        "",
        "## Groups and duplicates",
        "",
        f"- {groups['count']:,} groups, the largest of {groups['largest']} images; {groups['divided_by_split']} are "
        f"divided by the split.",
        _group_source(report),
        *(f"- Joined into one group, as they share slices: {', '.join(names)}." for names in groups["joined"]),
        *_set_lines("Identical files", report["byte_duplicates"]),
        *_set_lines(
            f"Near-duplicates (correlation above {report['near_duplicates']['correlation_above']})",
            report["near_duplicates"],
        ),
        *_copy_lines(report["copies"]),
        f"- Groups that hold two classes: {len(groups['with_two_classes'])}.",
        *(
            f"  - {entry['group']}: " + ", ".join(f"{n} {name}" for name, n in entry["classes"].items())
            for entry in groups["with_two_classes"][:_SHOWN]
        ),
        "",
        *_extra_lines(report["extra"]),
        "## Masks",
        "",
        "No masks were given: those of tumour classes are unknown."
        if not report["masks_given"]
        else "An image without a mask file has an unknown mask, not an empty one.",
        "",
        *_table(
            ["class", "known", "unknown", "known, but without a tumour pixel"],
            [[n, masks[n]["known"], len(masks[n]["unknown"]), len(masks[n]["without_tumour"])] for n in classes],
        ),
        "",
        *_listed([f"unknown: {key}" for n in classes for key in masks[n]["unknown"]] if report["masks_given"] else []),
        *_listed([f"without a tumour pixel: {key}" for n in classes for key in masks[n]["without_tumour"]]),
        *_listed([f"doubtful: {e['image']}: {'; '.join(e['signs'])}" for n in classes for e in masks[n]["doubtful"]]),
        "## Worth a look",
        "",
        f"{len(report['below_224'])} images have a side below {SMALL_SIDE} pixels and are enlarged for the network.",
        "",
        *_listed([f"{e['image']}: {e['width']}x{e['height']}" for e in report["below_224"]]),
        f"{len(report['suspicious'])} images look like something else than a grey MRI: a simple measure, so look at "
        "them.",
        "",
        *_listed([f"{e['image']}: {'; '.join(e['signs'])}" for e in report["suspicious"]]),
        "## Left out",
        "",
        *(
            _listed(
                [f"{e['file']}: {e['problem']}. {e['remedy']}." for e in report["left_out"]], len(report["left_out"])
            )
            or ["Nothing.", ""]
        ),
    ]
    if report["notes"]:
        lines += ["## Notes", "", *_listed(report["notes"], len(report["notes"]))]
    if (compact := report["compact"]) is not None:
        lines += [
            "## Compact copy",
            "",
            f"Short side {compact['size']} pixels ({compact['shrunk']:,} images were larger), {compact['format']}: "
            f"{compact['mebibytes']} MiB. What is lost beside resolution: JPEG keeps the resized slices to a peak "
            f"signal-to-noise ratio of {compact['psnr_db']['mean']} dB on average, {compact['psnr_db']['lowest']} dB "
            "at the lowest (8-bit rounding alone: 59 dB). Values beyond 8 bit, colour, and pixel spacing are dropped.",
            "",
        ]
    return "\n".join([*lines, "![Slices of each class, tumours outlined](contact_sheet.png)", ""])


def extra_line(extra: Mapping[str, Any]) -> str:
    """Say in a line what became of the extra slices.

    Args:
        extra: of the report.
    """
    images = extra["images"]
    group, copy, identical = (f"{len(extra['left_out'][reason]):,}" for reason in REASONS)
    classes = ", ".join(f"{count:,} {name}" for name, count in extra["classes"].items()) or "none"
    return (
        f"extra: {images['used']:,} of {images['found']:,} slices ({classes}); left out: {group} of groups in "
        f"validation or test, {copy} in groups with a copy of a slice there, {identical} whose file is in the set "
        "already"
    )


def _extra_lines(extra: Mapping[str, Any] | None) -> list[str]:
    if extra is None:
        return []
    told = extra_line(extra).removeprefix("extra: ")
    lines = ["## Extra slices", "", f"For training only; no part of the counts and baselines above. Used: {told}.", ""]
    if not extra["groups_given"]:
        lines += [
            "No groups of theirs were given: a slice of a patient of validation or test that looks different is not "
            "recognised.",
            "",
        ]
    return lines


def _baseline_rows(baselines: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for section, baseline in baselines.items():
        if baseline:
            nearest, files = baseline["nearest_neighbour"], baseline["file_properties"]
            rows.append([section, f"{nearest['n']:,}", f"{nearest['accuracy']:.1%}", f"{files['accuracy']:.1%}"])
        else:
            rows.append([section, "0", "not measurable", "not measurable"])
    return rows


def _group_source(report: Mapping[str, Any]) -> str:
    found = report["groups"]["images_without_given_group"]
    if not report["groups_given"]:
        return (
            "- Groups are near-duplicates and copies only: slices of one patient that look different may stand on two "
            "sides."
        )
    return f"- Groups were given; {found:,} images without one were grouped by near-duplicates and copies."


def _set_lines(title: str, sets: Mapping[str, Any]) -> list[str]:
    line = f"- {title}: {sets['sets']} sets of {sets['images']} images"
    across = f"{sets['sets_across_splits']} across sections, {sets['sets_across_classes']} across classes"
    return [f"{line}; {across}."]


def copies_warning(copies: Mapping[str, Any]) -> str | None:
    """Say in a line how many copies stand on two sides of the split in spite of it; None if there are none.

    Args:
        copies: of the report.
    """
    divided = _divided(copies)
    if not divided:
        return None
    return (
        f"{len(divided):,} pairs of copies have different groups and stand in different sections, e.g. "
        f"{_pair_line(divided[0])}. Groups that are given stay as they are: give a pair one group if it is one patient"
    )


def _copy_lines(copies: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- Copies, mirrored and cropped ones too (likeness {copies['likeness_from']} or more): {copies['pairs']:,} "
        f"pairs, {len(copies['across']):,} across groups."
    ]
    if (warning := copies_warning(copies)) is not None:
        divided = _divided(copies)
        lines += [f"- **Warning**: {warning}.", *(f"  - {_pair_line(pair)}" for pair in divided[:_SHOWN])]
        if len(divided) > _SHOWN:
            lines.append(f"  - ... and {len(divided) - _SHOWN} more in data_report.json")
    return lines


def _divided(copies: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [pair for pair in copies["across"] if len(set(pair["sections"])) > 1]


def _pair_line(pair: Mapping[str, Any]) -> str:
    named = (f"{image} ({section})" for image, section in zip(pair["images"], pair["sections"], strict=True))
    return " and ".join(named) + (", mirrored" if pair["mirrored"] else "")


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    body = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|", *body]


def _listed(entries: Sequence[str], shown: int = _SHOWN) -> list[str]:
    """A bulleted list and an empty line; long ones are cut (data_report.json has them all)."""
    rest = [f"- ... and {len(entries) - shown} more in data_report.json"] if len(entries) > shown else []
    return [*(f"- {entry}" for entry in entries[:shown]), *rest, ""] if entries else []


def contact_sheet(slices: Sequence[InspectedSlice], class_names: Sequence[str]) -> Figure:
    """Draw a row of slices for each class, tumours outlined.

    Which slices are shown depends on their names only, and no two of a group while there are others.

    Args:
        slices: the slices to choose from.
        class_names: one row each.
    """
    figure = Figure(figsize=(1.6 * _SHEET_COLUMNS, 1.75 * len(class_names)), dpi=100, layout="constrained")
    axes = figure.subplots(len(class_names), _SHEET_COLUMNS, squeeze=False)
    for row, name in zip(axes, class_names, strict=True):
        chosen = _chosen([s for s in slices if s.class_name == name])
        for axis in row:
            axis.set_axis_off()
        for axis, slice_ in zip(row, chosen, strict=False):
            axis.imshow(read_grey(slice_.found.path), cmap="gray", vmin=0, vmax=1)
            if slice_.mask is not None and slice_.mask_area:
                mask = read_mask(slice_.mask)
                axis.contour(mask, levels=[0.5], colors=[_OUTLINE], linewidths=1.2)
        row[0].set_title(f"{display_name(name)}", loc="left", fontsize=11)
    return figure


def _chosen(slices: Sequence[InspectedSlice]) -> list[InspectedSlice]:
    shuffled = sorted(slices, key=lambda s: hashlib.sha256(s.key.encode(errors="surrogateescape")).digest())
    first_of_group: dict[str, InspectedSlice] = {}
    for slice_ in shuffled:
        first_of_group.setdefault(slice_.group, slice_)
    others = [s for s in shuffled if first_of_group[s.group] is not s]
    return [*first_of_group.values(), *others][:_SHEET_COLUMNS]
