"""Reading one slice of any supported file, as a person sees it: row 0 on top, column 0 at the left of the screen."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader, MetaTensor
from monai.utils import ensure_tuple

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.dicom_file import dicom_grid, dicom_pixels
from braintumor_ext.transforms.formats import DICOM, NIFTI, container_of, is_supported
from braintumor_ext.transforms.grid import SliceGrid
from braintumor_ext.transforms.nifti_file import nifti_grid, nifti_pixels
from braintumor_ext.transforms.picture_file import picture_grid, picture_pixels
from braintumor_ext.transforms.shrink import shrunk, whole_factors


class SliceReader(ImageReader):
    """:func:`read_slice` as a MONAI reader, for ``monai.transforms.LoadImaged(keys="image", reader=SliceReader)``.

    That one tries MONAI's own readers after a failure; `LoadImageSliced` does not. The arguments are those of
    `read_slice`.
    """

    def __init__(self, slice_index: int | None = None, labels: bool = False, shrink: bool = False) -> None:
        super().__init__()
        self.slice_index, self.labels, self.shrink = slice_index, labels, shrink

    def verify_suffix(self, filename: Sequence[str | PathLike[str]] | str | PathLike[str]) -> bool:
        """Return whether the file or files are supported, by suffix."""
        return all(is_supported(Path(name)) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | PathLike[str]] | str | PathLike[str], **kwargs: Any) -> MetaTensor:
        """Return one slice of one file; a ``slice_index`` among ``kwargs`` goes before that of the construction."""
        paths = ensure_tuple(data)
        if len(paths) != 1:
            raise ValueError(f"one file is read at a time, got {len(paths)}")
        return read_slice(paths[0], kwargs.get("slice_index", self.slice_index), self.labels, self.shrink)

    def get_data(self, img: MetaTensor) -> tuple[np.ndarray, dict[str, Any]]:
        """Return a slice's values, (C, H, W) float32, and its metadata (see `SliceGrid.metadata`)."""
        return img.numpy(), dict(img.meta)


def read_slice(
    path: str | PathLike[str], slice_index: int | None = None, labels: bool = False, shrink: bool = False
) -> MetaTensor:
    """Return one slice of a file, (C, H, W) float32, values as stored, with the metadata of `SliceGrid.metadata`.

    Row 0 is on top and column 0 at the left of the screen: pictures (an EXIF orientation is honoured) and DICOM as
    stored, NIfTI in radiological display (see `patient_grid`). The file's content tells its format.

    Args:
        path: a picture, a DICOM or a NIfTI file.
        slice_index: 0-based index of the slice in a volume; may be absent for a file of one slice.
        labels: whether it is a mask: a picture with a palette then gives its indices, not their colours.
        shrink: whether a very large slice is shrunk by whole factors (see `transforms.shrink`). Its metadata are still
            those of the file's own grid, but for ``affine``, which is the array's.

    Raises:
        InputError: if the file cannot be read, or is a volume and no valid slice of it was chosen.
    """
    path = Path(path)
    container_of(path)  # tells what is wrong with a path that cannot be opened, before its time stamp is asked for
    grid, pixels = _recent.read(path, labels, shrink)
    index = _checked_index(path, grid.slice_count, slice_index)
    values = pixels[index]
    factors = whole_factors(*grid.shape[:2]) if shrink else (1, 1)
    if values.shape[-2:] == grid.shape[:2] and factors != (1, 1):  # pictures are shrunk as they are decoded
        values = shrunk(values, factors, labels)
    # A copy: the volume behind it stays in the cache and must not change with the slice.
    copy = np.array(values, dtype=np.float32, order="C")
    return MetaTensor.ensure_torch_and_prune_meta(copy, grid.metadata(path, index, factors))


def count_slices(path: str | Path) -> int:
    """Return the number of slices in a file, from its header.

    Raises:
        InputError: if the file cannot be read.
    """
    return grid_of(Path(path)).slice_count


def grid_of(path: Path) -> SliceGrid:
    """Return the grid of a file's slices, from its header.

    Raises:
        InputError: if the file cannot be read.
    """
    container = container_of(path)
    if container == NIFTI:
        return nifti_grid(path)
    return dicom_grid(path) if container == DICOM else picture_grid(path)


class _RecentFiles:
    """The files read last, decoded: reading all slices of a volume, one after the other, decodes it once.

    Two, an image and its mask, if both fit into ``most_bytes``; one of any size. Of a file that cannot be decoded its
    error is kept: that a volume is damaged is found once, and not once for each of its slices.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        # Replaced as a whole: threads that read at once may decode a file twice, and never see half a change.
        self._files: tuple[tuple[Any, SliceGrid, np.ndarray | InputError], ...] = ()

    def read(self, path: Path, labels: bool, shrink: bool) -> tuple[SliceGrid, np.ndarray]:
        """Return a file's grid and its slices, (slices, C, H, W), which must not be changed."""
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size, labels, shrink)
        known = self._files
        found = next((file for file in known if file[0] == key), None) or (key, *_decoded(path, labels, shrink))
        last = (found, *(file for file in known if file is not found))[:2]
        held = sum(pixels.nbytes for _, _, pixels in last if isinstance(pixels, np.ndarray))
        self._files = last if held <= self.most_bytes else (found,)
        grid, pixels = found[1:]
        if isinstance(pixels, InputError):
            raise InputError(pixels.path, pixels.problem, pixels.remedy)
        return grid, pixels


_recent = _RecentFiles(most_bytes=2**29)


def _decoded(path: Path, labels: bool, shrink: bool) -> tuple[SliceGrid, np.ndarray | InputError]:
    grid = grid_of(path)
    try:
        if grid.container == NIFTI:
            return grid, nifti_pixels(path)
        if grid.container == DICOM:
            return grid, dicom_pixels(path)
        return grid, picture_pixels(path, labels, shrink)
    except InputError as error:
        return grid, error


def _checked_index(path: Path, count: int, index: int | None) -> int:
    if index is None and count > 1:
        problem = f"holds {count} slices where one slice is expected"
        remedy = f"Choose with --slices all, --slices middle or --slices N, where N is 0 to {count - 1}"
        raise InputError(path, problem, remedy)
    if not 0 <= (chosen := int(index or 0)) < count:
        raise InputError(path, f"has no slice {index}", f"Give --slices N, where N is 0 to {count - 1}")
    return chosen
