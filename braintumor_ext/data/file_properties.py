"""What a slice file gives away without its pixels' values, and the table that keeps it.

Headers only: fast enough to check a whole data set before a run.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from braintumor_ext.files import write_csv
from braintumor_ext.plain_text import csv_text
from braintumor_ext.transforms.formats import PICTURE, telling_damage
from braintumor_ext.transforms.reader import grid_of

ITEMS_CSV = "items.csv"
"""The table that preparation writes beside the datalist: one row for each image."""

COLUMNS = ("image", "source", "class", "group", "split", "width", "height", "mode", "bytes", "sha256")
"""``image`` as in the datalist, ``source`` relative to the folder that was prepared; the rest is of the source file."""

_TAIL = 65536
_END_OF = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


@dataclass(frozen=True)
class FileProperties:
    """What can be told of a slice's file without its pixels' values."""

    width: int  # columns of a slice, as a person sees it
    height: int
    mode: str  # the colour mode of a picture, such as `L` or `RGB`, or a medical format and its bits, such as `dicom16`
    bytes: int
    slice_count: int = 1


def file_properties(path: Path) -> FileProperties:
    """Read a file's header.

    A picture without its format's closing marker is decoded, to tell a truncated one.

    Raises:
        InputError: if the file is missing, empty, truncated or no image.
    """
    grid = grid_of(path)
    mode = _picture_mode(path) if grid.container == PICTURE else f"{grid.container}{grid.bits}"
    height, width, count = grid.shape
    return FileProperties(width, height, mode, path.stat().st_size, count)


def _picture_mode(path: Path) -> str:
    with telling_damage(path, "is truncated or damaged"), Image.open(path) as picture:
        mode, marker = picture.mode, _END_OF.get(picture.format or "")
        if marker is not None and not _tail_holds(path, marker):
            picture.load()
        return mode


def _tail_holds(path: Path, marker: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        return marker in file.read()


def write_items_csv(dataset_dir: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write the table of a data set's images; no cell is a formula."""
    path = dataset_dir / ITEMS_CSV
    write_csv(path, [COLUMNS, *([row[name] for name in COLUMNS] for row in rows)])
    return path


def read_items_csv(dataset_dir: str | os.PathLike[str]) -> dict[Path, FileProperties]:
    """Return the source file's properties by absolute image path; empty where there is no table."""
    folder = Path(dataset_dir).resolve()
    path = folder / ITEMS_CSV
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {
            Path(os.path.normpath(folder / csv_text(row["image"]))): FileProperties(
                int(row["width"]), int(row["height"]), row["mode"], int(row["bytes"])
            )
            for row in csv.DictReader(file)
        }
