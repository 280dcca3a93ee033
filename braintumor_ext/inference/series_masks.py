"""The masks of DICOM inputs as DICOM segmentations: one for each series, whatever the number of its files."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from braintumor_ext.dicom_output import Algorithm, read_source, tumour_segmentation, write_dicom
from braintumor_ext.dicom_output.sources import difference, is_multi_frame, place_of
from braintumor_ext.errors import InputError
from braintumor_ext.inference.row_errors import told_in
from braintumor_ext.keys import IMAGE, SLICE


@dataclass
class _SourceMask:
    """The mask of one file, or of one frame of it; its bits are packed, as a run may hold many until it ends."""

    path: str
    frame: int | None
    packed: bytes
    row: dict[str, Any]


@dataclass
class _Volume:
    """The masks of what becomes one object: one series, orientation and spacing, each image at its own place."""

    first: pydicom.Dataset
    masks: list[_SourceMask] = field(default_factory=list)
    places: set[int] = field(default_factory=set)


class SeriesMasks:
    """Gather the masks of DICOM files, in any order, and write one segmentation for each series.

    A segmentation is called by its series: ``<SeriesInstanceUID>.dcm``. Images that do not make up one volume with
    those before (localisers along several axes, several images at one place) go to ``<SeriesInstanceUID>_2.dcm`` and
    so on.
    """

    def __init__(self, folder: Path, algorithm: Algorithm) -> None:
        self.folder, self.algorithm = folder, algorithm
        self._series: dict[str, list[_Volume]] = {}
        self._names: dict[str, str] = {}

    def add(self, row: dict[str, Any], item: Mapping[str, Any], mask: np.ndarray, native_frame: int = 0) -> None:
        """Take the mask of one file, or of one frame of it.

        Args:
            row: as for :meth:`~braintumor_ext.inference.mask_files.MaskFiles.add`; changed by :meth:`close`.
            item: as there.
            mask: (rows, columns) bool, as the file is stored.
            native_frame: 0-based index of the frame as the file stores it, of a file with several.

        Raises:
            InputError: the file lacks what a segmentation needs to refer to it, or has the UID of another one.
        """
        source = read_source(item[IMAGE])
        name = self._names.setdefault(str(source.SOPInstanceUID), str(item["name"]))
        if name != item["name"]:
            raise InputError(item["name"], f"has the SOPInstanceUID of {name}", "Leave one of them out")
        frame = native_frame if SLICE in item else None
        volume = self._volume_for(source)
        volume.masks.append(_SourceMask(str(item[IMAGE]), frame, zlib.compress(np.packbits(mask).tobytes()), row))

    def _volume_for(self, source: pydicom.Dataset) -> _Volume:
        volumes = self._series.setdefault(str(source.SeriesInstanceUID), [])
        multi_frame = is_multi_frame(source)
        place = 0 if multi_frame else round(place_of(source) * 1000)  # in micrometres
        for volume in volumes:
            if multi_frame and volume.first.SOPInstanceUID == source.SOPInstanceUID:
                return volume
            # Places a micrometre off may be one place that was rounded twice.
            if difference(volume.first, source) is None and not {place - 1, place, place + 1} & volume.places:
                volume.places.add(place)
                return volume
        volumes.append(_Volume(source, places={place}))
        return volumes[-1]

    def close(self) -> None:
        """Write the segmentations of all series so far, and tell it in the rows: the file, or why there is none."""
        series, self._series, self._names = self._series, {}, {}
        for uid, volumes in series.items():
            for number, volume in enumerate(volumes, start=1):
                path = self.folder / (f"{uid}.dcm" if number == 1 else f"{uid}_{number}.dcm")
                told: dict[str, Any] = {}
                with told_in(told, str(path), "has no DICOM SEG", "Give --output_format nifti"):
                    self._write(volume, path)
                    told["mask"] = path.relative_to(self.folder.parent).as_posix()
                for mask in volume.masks:
                    mask.row.update(told)

    def _write(self, volume: _Volume, path: Path) -> None:
        """Write one segmentation; highdicom checks what it is given, and raises what it likes."""
        frames = [mask.frame for mask in volume.masks if mask.frame is not None]
        sources = [volume.first] if frames else [read_source(mask.path) for mask in volume.masks]
        size = (int(volume.first.Rows), int(volume.first.Columns))
        masks = np.stack([_unpacked(mask.packed, size) for mask in volume.masks])
        write_dicom(tumour_segmentation(sources, masks, algorithm=self.algorithm, frames=frames or None), path)


def _unpacked(packed: bytes, size: tuple[int, int]) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(zlib.decompress(packed), dtype=np.uint8), count=size[0] * size[1])
    return bits.reshape(size).astype(bool)
