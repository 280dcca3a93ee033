"""The mask files of an inference: one for each input, whatever the number of its slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braintumor_ext.errors import InputError
from braintumor_ext.inference.row_errors import told_in
from braintumor_ext.keys import SLICE
from braintumor_ext.transforms import write_mask, write_volume_mask
from braintumor_ext.transforms.formats import DICOM, NIFTI, PICTURE
from braintumor_ext.transforms.restore_grid import picture_as_nifti

if TYPE_CHECKING:
    from braintumor_ext.inference.series_masks import SeriesMasks

OUTPUT_FORMATS = PNG_FORMAT, NIFTI_FORMAT, SEG_FORMAT = "png", "nifti", "dicom_seg"
"""What masks can be written as, in place of each input's own format."""


def numbered_stem(item: Mapping[str, Any]) -> str:
    """Return the stem of a file that holds one slice alone: an input's stem, with the slice's index for a volume."""
    return item["stem"] + (f"_slice{int(item[SLICE]):03d}" if SLICE in item else "")


@dataclass
class _OpenVolume:
    item: Mapping[str, Any]
    meta: Mapping[str, Any]
    masks: dict[int, np.ndarray] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


class MaskFiles:
    """Write masks in their inputs' own grids; the slices of one volume share one file.

    The slices of a volume come one after the other: the first of another file, or :meth:`close`, writes the volume. No
    more than one volume's masks are held at a time. DICOM segmentations hold a series, whose files may come in any
    order: their masks are kept packed, and written by :meth:`close`.

    Args:
        folder: where to write; a mask's name is its item's ``stem``.
        output_format: ``png``: a picture of 0 and 255 for each slice, as a person sees it. ``nifti``: ``.nii.gz`` for
            pictures, too. ``dicom_seg``: a segmentation for each DICOM series, called by its SeriesInstanceUID; other
            inputs keep their own format. None: each input's own format, PNG for pictures and ``.nii.gz`` for others.
        metadata: the bundle's ``metadata.json``; its name and version stand in segmentations, which need it.

    Raises:
        InputError: there is no such format; or segmentations are wanted, and highdicom is not installed or the metadata
            cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        output_format: str | None = None,
        metadata: str | PathLike[str] | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> None:
        self.folder = folder
        self.output_format = None if output_format in ("", "none", "None") else output_format
        if self.output_format not in (None, *OUTPUT_FORMATS):
            remedy = f"Give {', '.join(OUTPUT_FORMATS)}, or none for each input's own"
            raise InputError("--output_format", f"there is no format {output_format!r}", remedy)
        self._open: _OpenVolume | None = None
        self._series: SeriesMasks | None = None
        if self.output_format == SEG_FORMAT:
            # Not imported above: it needs highdicom, which is not there wherever masks are.
            from braintumor_ext.dicom_output import read_algorithm
            from braintumor_ext.inference.series_masks import SeriesMasks

            self._series = SeriesMasks(folder, read_algorithm(metadata or "metadata.json", checkpoint))

    def write(self, item: Mapping[str, Any], mask: np.ndarray, meta: Mapping[str, Any]) -> str | None:
        """Write a mask that has a file of its own, given as to :meth:`add`, which does the others; several threads may.

        Returns:
            the file's path relative to the folder's parent; None of a slice that shares its file with others.
        """
        in_series = self._series is not None and meta["container"] == DICOM
        if in_series or (SLICE in item and self.output_format != PNG_FORMAT):
            return None
        return self._told(write_mask(mask, self._in_format(meta), self.folder / numbered_stem(item)))

    def add(self, row: dict[str, Any], item: Mapping[str, Any], mask: np.ndarray, meta: Mapping[str, Any]) -> None:
        """Take the mask of one slice; ``row["mask"]`` becomes its file's path relative to the folder's parent.

        Args:
            row: the slice's row of the table; changed once the file is written, then or later.
            mask: (H, W) bool, on the grid of the slice as it was read.
        """
        self.begin(item)
        path = self.write(item, mask, meta)
        if path is not None:
            row["mask"] = path
        elif self._series is not None and meta["container"] == DICOM:
            self._series.add(row, item, mask, int(meta["native_frame"]))
        else:
            if self._open is None:
                self._open = _OpenVolume(item, self._in_format(meta))
            self._open.masks[int(item[SLICE])] = mask
            self._open.rows.append(row)

    def begin(self, item: Mapping[str, Any]) -> None:
        """Write the volume before if a slice is of another file."""
        if self._open is not None and self._open.item["name"] != item["name"]:
            self._close_volume()

    def awaits(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row's mask is written once its volume is complete."""
        return self._open is not None and any(row is other for other in self._open.rows)

    def close(self) -> None:
        """Write the volume whose slices came last and the segmentations, if they are not written yet.

        What cannot be written is told in its rows: their classes stay.
        """
        self._close_volume()
        if self._series is not None:
            self._series.close()

    def _close_volume(self) -> None:
        if self._open is None:
            return
        volume, self._open = self._open, None
        told: dict[str, Any] = {}
        with told_in(told, volume.item["name"]):
            told["mask"] = self._told(write_volume_mask(volume.masks, volume.meta, self.folder / volume.item["stem"]))
        for row in volume.rows:
            row.update(told)

    def _in_format(self, meta: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the metadata by which the mask is written in the wanted format."""
        if self.output_format == PNG_FORMAT:
            return {**meta, "container": PICTURE}
        if self.output_format != NIFTI_FORMAT or meta["container"] in (NIFTI, DICOM):
            return meta
        return picture_as_nifti(meta)

    def _told(self, path: Path) -> str:
        return path.relative_to(self.folder.parent).as_posix()
