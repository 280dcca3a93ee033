"""The slices that an inference is asked for."""

from __future__ import annotations

import logging
import re
from collections import Counter
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.errors import InputError
from braintumor_ext.keys import IMAGE, SLICE
from braintumor_ext.transforms import count_slices, find_images

logger = logging.getLogger(__name__)

_SUFFIX = re.compile(r"(\.nii\.gz|\.[A-Za-z0-9]{1,5})$")


def parse_slices(slices: str | int | None) -> str | int | None:
    """Return ``"all"``, ``"middle"``, an index or None (no slices of volumes) from what the user gave.

    Raises:
        InputError: when it is none of these.
    """
    if slices in (None, "", "none", "None"):
        return None
    if slices in ("all", "middle"):
        return slices
    try:
        return int(slices)
    except ValueError:
        raise InputError(
            "--slices", f"{slices!r} is no choice of slices", "Give all, middle or an index from 0"
        ) from None


def list_inputs(
    path: str | PathLike[str],
    slices: str | int | None = None,
    exclude: str | PathLike[str] | None = None,
) -> list[dict[str, Any]]:
    """Return one item for each slice to predict, sorted by relative path, then by slice.

    Args:
        path: a file, or a folder that is searched through for supported files.
        slices: which slices of a volume: ``all``, ``middle`` or an index; None takes no volumes (each becomes a
            failed row that says so).
        exclude: a folder to leave out, the output's.

    Returns:
        Items ``{"image": path, "name": relative path, "stem": a unique stem for outputs}``, with ``slice`` for a slice
        of a volume.

    Raises:
        InputError: when there is no such path, or no supported file in it.
    """
    root, wanted = Path(path), parse_slices(slices)
    if not root.exists():
        raise InputError(root, "no such file or folder", "Give --dataset_dir a slice, or a folder of slices")
    if root.is_file():
        files, root = [root], root.parent
    else:
        files = list(find_images(root))
        if exclude is not None:
            hidden = Path(exclude).resolve()
            files = [file for file in files if hidden not in file.resolve().parents]
        if not files:
            raise InputError(
                root, "no supported file in it", "Give a folder with PNG, JPEG, BMP, TIFF, DICOM or NIfTI files"
            )
    items: list[dict[str, Any]] = []
    for file in files:
        items += _slices_of(file, file.relative_to(root).as_posix(), wanted)
    _name_outputs(items)
    logger.info("%d slices of %d files in %s.", len(items), len(files), path)
    return items


def _slices_of(file: Path, name: str, wanted: str | int | None) -> list[dict[str, Any]]:
    item: dict[str, Any] = {IMAGE: str(file), "name": name}
    try:
        count = count_slices(file)
    except Exception:  # whatever is wrong with it, reading it will tell, in its own row
        return [item]
    if count == 1 or wanted is None:
        return [item]
    if wanted == "all":
        return [{**item, SLICE: index} for index in range(count)]
    return [{**item, SLICE: count // 2 if wanted == "middle" else int(wanted)}]


def _name_outputs(items: list[dict[str, Any]]) -> None:
    """Give each item a stem for its outputs: the path without suffix, with it where two files would share one."""
    short = {item["name"]: _SUFFIX.sub("", item["name"]) for item in items}
    uses = Counter(short.values())
    for item in items:
        name = item["name"]
        item["stem"] = short[name] if uses[short[name]] == 1 else name
