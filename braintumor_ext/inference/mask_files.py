"""The mask files of an inference: one for each input, whatever the number of its slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.keys import SLICE
from braintumor_ext.transforms import write_mask, write_volume_mask


@dataclass
class _OpenVolume:
    item: Mapping[str, Any]
    meta: Mapping[str, Any]
    masks: dict[int, np.ndarray] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


class MaskFiles:
    """Write masks in their inputs' own grids; the slices of one volume share one file.

    The slices of a volume come one after the other: the first of another file, or :meth:`close`, writes the volume. No
    more than one volume's masks are held at a time.

    Args:
        folder: where to write; a mask's name is its item's ``stem``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: _OpenVolume | None = None

    def add(self, row: dict[str, Any], item: Mapping[str, Any], mask: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Take the mask of one slice; ``row["mask"]`` becomes its file's path relative to the folder's parent.

        Args:
            row: the slice's row of the table; changed once the file is written, then or later.
            item: the slice's item, as :func:`~braintumor_ext.inference.list_inputs` gives it.
            mask: (H, W) bool, on the grid of the slice as it was read.
            meta: the slice's metadata, as read.

        Raises:
            OSError: when the mask, or that of the volume before, cannot be written.
        """
        if self._open is not None and self._open.item["name"] != item["name"]:
            self.close()
        if SLICE not in item:
            self._tell([row], write_mask(mask, meta, self.folder / item["stem"]))
            return
        if self._open is None:
            self._open = _OpenVolume(item, meta)
        self._open.masks[int(item[SLICE])] = mask
        self._open.rows.append(row)

    def close(self) -> None:
        """Write the volume whose slices came last, if it is not written yet.

        A volume that cannot be written is told in its rows: its classes stay.
        """
        if self._open is None:
            return
        volume, self._open = self._open, None
        try:
            path = write_volume_mask(volume.masks, volume.meta, self.folder / volume.item["stem"])
        except OSError as problem:
            for row in volume.rows:
                row["error"] = unwritable(problem)
        else:
            self._tell(volume.rows, path)

    def _tell(self, rows: list[dict[str, Any]], path: Path) -> None:
        for row in rows:
            row["mask"] = path.relative_to(self.folder.parent).as_posix()


def unwritable(problem: OSError) -> str:
    """Return what a row says of a mask or picture that could not be written."""
    return f"could not be written ({problem}). Free space, or give another --output_dir."
