"""One study: the slices of a file or of a DICOM series, and what goes back to its own grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import count_slices, find_images, read_slice
from braintumor_ext.transforms.formats import DICOM, PICTURE
from braintumor_ext.transforms.grid import scanner_placement, spatial_order
from braintumor_ext.transforms.restore_grid import in_file_order, nifti_image

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Study:
    """The slices of one input, in the order of its own slices."""

    path: Path  # the file, or the folder of a DICOM series
    slices: tuple[MetaTensor, ...]  # each (C, H, W) as a person sees it, with its metadata (see `SliceGrid.metadata`)
    affine: np.ndarray  # (4, 4), takes the study's own indices to RAS mm
    is_series: bool = False  # whether each slice is a file of its own

    @property
    def meta(self) -> Mapping[str, Any]:
        """The metadata of the first slice."""
        return self.slices[0].meta

    @property
    def suffix(self) -> str:
        """The suffix of what is written in the study's grid."""
        return ".png" if self.meta["container"] == PICTURE and len(self.slices) == 1 else ".nii.gz"

    def restore_grid(self, planes: Sequence[np.ndarray]) -> np.ndarray:
        """Return planes, (H, W) each, one for each slice, as one array in the study's own index order and shape."""
        if self.is_series:
            pairs = zip(planes, self.slices, strict=True)
            return np.concatenate([in_file_order(plane[:, :, None], slice_.meta) for plane, slice_ in pairs], axis=2)
        return in_file_order(np.stack(planes, axis=2), self.meta)

    def write(self, planes: Sequence[np.ndarray], target: Path) -> None:
        """Write planes in the study's grid.

        Args:
            planes: as for :meth:`restore_grid`; numbers that a picture is to hold must be uint8.
        """
        if self.suffix == ".png":
            Image.fromarray(planes[0]).save(target)
            return
        meta = scanner_placement(self.affine).metadata() if self.is_series else self.meta
        nib.save(nifti_image(self.restore_grid(planes), meta), target)


def read_study(path: str | PathLike[str]) -> Study:
    """Return the study that a file, or a folder with one DICOM series, holds.

    Raises:
        InputError: it cannot be read, or the folder's files are not the slices of one series.
    """
    path = Path(path)
    if path.is_dir():
        return _read_series(path)
    slices = tuple(read_slice(path, index) for index in range(count_slices(path)))
    return Study(path, slices, np.asarray(slices[0].meta["native_affine"]))


def _read_series(folder: Path) -> Study:
    files = [file for file in find_images(folder) if not file.name.startswith(".")]
    if not files:
        raise InputError(folder, "holds no DICOM file", "Give the folder of a series")
    read = [read_slice(file) for file in files]
    first = np.asarray(read[0].meta["native_affine"])
    for file, slice_ in zip(files, read, strict=True):
        same_size = tuple(slice_.meta["native_shape"]) == tuple(read[0].meta["native_shape"])
        turned = not np.allclose(np.asarray(slice_.meta["native_affine"])[:3, :2], first[:3, :2], atol=_TOLERANCE)
        if slice_.meta["container"] != DICOM or not same_size or turned:
            raise InputError(file, f"is no slice of the series of {files[0].name}", "Leave it out of the folder")
    normal = first[:3, 2] / np.linalg.norm(first[:3, 2])
    places = [float(np.asarray(slice_.meta["native_affine"])[:3, 3] @ normal) for slice_ in read]
    slices = tuple(read[index] for index in spatial_order(folder, np.array(places), "slice"))
    affine = np.asarray(slices[0].meta["native_affine"]).copy()
    if len(slices) > 1:
        last = np.asarray(slices[-1].meta["native_affine"])
        affine[:3, 2] = (last[:3, 3] - affine[:3, 3]) / (len(slices) - 1)
    return Study(folder, slices, affine, is_series=True)
