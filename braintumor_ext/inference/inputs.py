"""The slices that an inference is asked for."""

from __future__ import annotations

import logging
import re
from collections import Counter
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

from braintumor_ext.errors import InputError
from braintumor_ext.keys import IMAGE, SLICE
from braintumor_ext.plain_text import printable
from braintumor_ext.transforms import FoundFiles, count_slices, find_files
from braintumor_ext.transforms.formats import without_suffix
from braintumor_ext.transforms.found_files import OWN_OUTPUT

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"_slice\d+$")


def parse_slices(slices: str | int | None) -> str | int | None:
    """Return ``"all"``, ``"middle"``, an index or None (no slices of volumes) from what the user gave.

    Raises:
        InputError: when it is none of these.
    """
    if slices is None or slices in ("", "none", "None"):
        return None
    if slices in ("all", "middle"):
        return slices
    # Checked as text: int() would take 1.5 for 1 and true for 1.
    if not re.fullmatch(r"\d+", str(slices).strip()):
        raise InputError("--slices", f"{slices!r} is no choice of slices", "Give all, middle or an index from 0")
    return int(slices)


def list_inputs(
    path: str | PathLike[str], slices: str | int | None = None, exclude: str | PathLike[str] | None = None
) -> list[dict[str, Any]]:
    """Return one item for each slice to predict, sorted by relative path, then by slice.

    Args:
        path: a file, or a folder that is searched through for supported files.
        slices: which slices of a volume: ``all``, ``middle`` or an index; None takes no volumes (each becomes a
            failed row that says so).
        exclude: a folder to leave out if it lies in that folder: the output's.

    Returns:
        Items ``{"image": path, "name": relative path, "stem": a unique stem for outputs}``, with ``slice`` for a slice
        of a volume.

    Raises:
        InputError: when there is no such path, no supported file in it, or it is the folder to leave out.
    """
    root, wanted = Path(path), parse_slices(slices)
    if not root.exists():
        raise InputError(root, "no such file or folder", "Give --dataset_dir a slice, or a folder of slices")
    found = find_files(root)
    if root.is_dir():
        _leave_out_own(found, None if exclude is None else Path(exclude))
    items: list[dict[str, Any]] = []
    for file in found.files:
        items += _slices_of(file, file.relative_to(found.root).as_posix(), wanted)
    _name_outputs(items)
    counts = (len(items), found.count, printable(str(path)), len(found.files))
    logger.info("%d slices of %d files in %s: %d read.", *counts)
    for line in found.told():
        logger.info("Left out: %s.", line)
    return items


def _leave_out_own(found: FoundFiles, exclude: Path | None) -> None:
    root = found.root
    if exclude is not None:
        own, hidden = root.resolve(), exclude.resolve()
        if own == hidden:
            raise InputError(
                exclude, "is the folder of the inputs itself", "Give another --output_dir; a folder in it will do"
            )
        if own in hidden.parents:
            found.leave_out_where(lambda file: hidden in file.resolve().parents, OWN_OUTPUT)
    if not found.files:
        known = "PNG, JPEG, BMP, TIFF, GIF, DICOM or NIfTI"
        told = f" (left out: {'; '.join(found.told(1))})" if found.left_out else ""
        raise InputError(root, f"no supported file in it{told}", f"Give --dataset_dir a folder with {known} files")


def _slices_of(file: Path, name: str, wanted: str | int | None) -> list[dict[str, Any]]:
    item: dict[str, Any] = {IMAGE: str(file), "name": name}
    try:
        count = 1 if wanted is None else count_slices(file)
    except Exception:  # whatever is wrong with it, reading it will tell, in its own row
        count = 1
    if wanted is None or count == 1:
        return [item]
    if wanted == "all":
        return [{**item, SLICE: index} for index in range(count)]
    return [{**item, SLICE: count // 2 if wanted == "middle" else int(wanted)}]


def _name_outputs(items: list[dict[str, Any]]) -> None:
    """Give each item a stem for its outputs: the path without suffix, with it where two files would share one."""
    names = {item["name"]: _file_name(item["name"]) for item in items}
    short = {item["name"]: _file_name(without_suffix(item["name"])) for item in items}
    uses = Counter(stem.lower() for stem in short.values())  # lower case: some file systems take a.png for A.png
    # The pictures of a volume's slices are called <stem>_slice000: a file of such a name takes <stem> too.
    numbered = {_NUMBERED.sub("", stem.lower()) for stem in short.values() if _NUMBERED.search(stem)}
    whole = {name.lower() for name in names.values()}
    taken: dict[str, str] = {}
    for item in items:
        stem, name = short[item["name"]], names[item["name"]]
        clash = uses[stem.lower()] > 1 or (stem != name and stem.lower() in whole)
        stem = name if clash or (SLICE in item and stem.lower() in numbered) else stem
        while taken.setdefault(stem, item["name"]) != item["name"]:  # a name and its like with an escape in it
            stem += "_"
        item["stem"] = stem


def _file_name(name: str) -> str:
    """Return a name for files that everyone can open: a byte that is no text becomes ``%FF``, a line break ``%0A``."""
    return "".join(c if printable(c) == c else quote(c, safe="", errors="surrogateescape") for c in name)
