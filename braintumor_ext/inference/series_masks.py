"""The masks of DICOM inputs as DICOM segmentations: one for each series, whatever the number of its files."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from braintumor_ext.dicom_output import Algorithm, read_source, tumour_segmentation, write_dicom
from braintumor_ext.dicom_output.sources import VolumeSplitter
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
class _Series:
    """The masks of one series by the volume, one object each, that they are of."""

    splitter: VolumeSplitter = field(default_factory=VolumeSplitter)
    volumes: defaultdict[int, list[_SourceMask]] = field(default_factory=lambda: defaultdict(list))


class SeriesMasks:
    """Gather the masks of DICOM files, in any order, and write one segmentation for each series.

    A segmentation is called by its series: ``<SeriesInstanceUID>.dcm``. Images that do not make up one volume with
    those before (localisers along several axes, several images at one place) go to ``<SeriesInstanceUID>_2.dcm`` and
    so on.
    """

    def __init__(self, folder: Path, algorithm: Algorithm) -> None:
        self.folder, self.algorithm = folder, algorithm
        self._series: defaultdict[str, _Series] = defaultdict(_Series)
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
        series = self._series[str(source.SeriesInstanceUID)]
        masks = series.volumes[series.splitter.volume_of(source)]
        masks.append(_SourceMask(str(item[IMAGE]), frame, zlib.compress(np.packbits(mask).tobytes()), row))

    def close(self) -> None:
        """Write the segmentations of all series so far, and tell it in the rows: the file, or why there is none."""
        all_series = self._series
        self._series, self._names = defaultdict(_Series), {}
        for uid, series in all_series.items():
            for index, masks in series.volumes.items():
                path = self.folder / (f"{uid}.dcm" if index == 0 else f"{uid}_{index + 1}.dcm")
                told: dict[str, Any] = {}
                with told_in(told, str(path), "has no DICOM SEG", "Give --output_format nifti"):
                    self._write(series.splitter.firsts[index], masks, path)
                    told["mask"] = path.relative_to(self.folder.parent).as_posix()
                for mask in masks:
                    mask.row.update(told)

    def _write(self, first: pydicom.Dataset, masks: Sequence[_SourceMask], path: Path) -> None:
        """Write one segmentation; highdicom checks what it is given, and raises what it likes."""
        frames = [mask.frame for mask in masks if mask.frame is not None]
        sources = [first] if frames else [read_source(mask.path) for mask in masks]
        size = (int(first.Rows), int(first.Columns))
        bits = [np.frombuffer(zlib.decompress(mask.packed), dtype=np.uint8) for mask in masks]
        unpacked = np.stack([np.unpackbits(each, count=math.prod(size)).reshape(size) for each in bits]).astype(bool)
        write_dicom(tumour_segmentation(sources, unpacked, algorithm=self.algorithm, frames=frames or None), path)
