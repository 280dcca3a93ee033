"""The report's pictures while a run goes on: on the disk, as there may be many."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path


class ReportPictures:
    """Small pictures in a hidden folder, one for each slice, until a report holds them."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)

    def save(self, stem: str, picture: bytes) -> None:
        """Keep a picture, the bytes of a JPEG file, under its slice's numbered stem."""
        path = self._path(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)

    def of(self, stems: Mapping[int, str]) -> Mapping[int, bytes]:
        """Return the pictures that there are, each read when it is asked for, by the position of their rows."""
        return _Files({position: path for position, stem in stems.items() if (path := self._path(stem)).is_file()})

    def clear(self) -> None:
        """Remove all pictures."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, stem: str) -> Path:
        return self.folder / f"{stem}.jpg"


class _Files(Mapping[int, bytes]):
    def __init__(self, paths: Mapping[int, Path]) -> None:
        self.paths = paths

    def __getitem__(self, position: int) -> bytes:
        return self.paths[position].read_bytes()

    def __contains__(self, position: object) -> bool:
        return position in self.paths

    def __iter__(self) -> Iterator[int]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)
