"""Archives that depend on nothing but their content."""

from __future__ import annotations

import zipfile
from os import PathLike
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip archive can hold: files carry no date of their own
_STORED = (".pt", ".png", ".jpg", ".gz")  # compressed already, or not worth it: weights shrink by some 7%


def write_archive(folder: str | PathLike[str], target: str | PathLike[str]) -> None:
    """Write a zip archive of a folder; the same files give the same bytes.

    Args:
        folder: what to pack; the archive holds it by its name.
    """
    folder = Path(folder)
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
            if not path.is_file():
                continue
            entry = zipfile.ZipInfo((Path(folder.name) / path.relative_to(folder)).as_posix(), _EPOCH)
            entry.compress_type = zipfile.ZIP_STORED if path.suffix in _STORED else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, also where it is packed on Windows
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as out:
                while block := source.read(1 << 20):
                    out.write(block)
