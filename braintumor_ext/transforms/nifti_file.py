"""NIfTI files through nibabel, turned to radiological display by their affine."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import NibabelReader
from nibabel.orientations import apply_orientation, ornt_transform

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.formats import NIFTI, telling_damage, without_suffix
from braintumor_ext.transforms.grid import (
    IDENTITY_ORNT,
    NiftiPlacement,
    SliceGrid,
    patient_grid,
    scanner_placement,
)
from braintumor_ext.transforms.limits import DEFLATE, check_held, check_size

_PART = 2**22  # bytes that are unpacked at a time
_AFTER = 2**24  # what may stand beside the voxels: header, extensions, filling
_DAMAGED = "is no NIfTI file, or truncated or damaged"


def nifti_grid(path: Path) -> SliceGrid:
    """Return the grid of a NIfTI file of two or three axes, from its header; further axes must have length 1.

    Raises:
        InputError: if the header is damaged, has a fourth axis, holds colours or complex numbers, or no usable affine;
            or asks for more than the limits or than the file can hold (see `transforms.limits`).
    """
    return _grid(path, _opened(path))


def nifti_pixels(path: Path) -> np.ndarray:
    """Return the slices of a NIfTI file as a person sees them, (slices, 1, H, W), with its scaling applied.

    Raises:
        InputError: as for `nifti_grid`, and if the data are truncated or damaged, by the checksum of a gzipped file.
    """
    image = _opened(path)
    grid = _grid(path, image)
    with telling_damage(path, _DAMAGED):
        data = np.asanyarray(image.dataobj)
        _check_sum(path, data.nbytes)
    to_display = ornt_transform(IDENTITY_ORNT, grid.native_ornt)
    shown = apply_orientation(data.reshape(grid.native_shape), to_display)
    return np.moveaxis(shown, 2, 0)[:, None]


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _check_sum(path: Path, held: int) -> None:
    """Read a gzipped file to its end, where its checksum is: nibabel stops at the last voxel."""
    if not _is_gzipped(path):
        return
    left = held + _AFTER
    with gzip.open(path) as stream:
        while left > 0 and (part := stream.read(_PART)):
            left -= len(part)


def _opened(path: Path) -> Any:
    with telling_damage(path, _DAMAGED):
        try:
            return NibabelReader().read(str(path))
        except Exception:
            _refuse_misnamed(path)
            raise


def _refuse_misnamed(path: Path) -> None:
    """Refuse a whole NIfTI file whose name keeps nibabel from reading it."""
    is_packed = _is_gzipped(path)
    with gzip.open(path) if is_packed else path.open("rb") as stream:
        head = stream.read(348)
    suffix = ".nii.gz" if is_packed else ".nii"
    if not (head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0") or path.name.lower().endswith(suffix):
        return
    stem = without_suffix(path.name)
    name = (path.stem if stem == path.name else stem) + suffix
    what = "a gzipped NIfTI file" if is_packed else "a NIfTI file that is not gzipped"
    raise InputError(path, f"is {what}, whatever its name says", f"Rename it to {name}")


def _grid(path: Path, image: Any) -> SliceGrid:
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 2 or any(n > 1 for n in shape[3:]) or 0 in shape:
        raise InputError(
            path,
            f"has shape {shape} where a slice or a volume is expected",
            "Save one volume of the series as its own file",
        )
    stored = image.get_data_dtype()
    if stored.fields is not None or stored.kind == "c":
        raise InputError(
            path, f"holds values of type {stored} where one grey value a voxel is expected", "Convert it to grey"
        )
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(path, f"has an affine that cannot be inverted: {affine.tolist()}", "Repair its header")
    padded = (*shape[:3], 1)[:3]
    _check_held(path, image)
    grid = patient_grid(
        NIFTI, _bits(image), (padded[0], padded[1], padded[2]), len(shape), affine, _placement(path, image, affine)
    )
    check_size(path, *grid.shape, pixel_bytes=8 if _is_scaled(image) else stored.itemsize)
    return grid


def _check_held(path: Path, image: Any) -> None:
    """Refuse an image whose file is too small for it: a header of a few bytes may claim any size."""
    stored = Path(image.file_map["image"].filename or path)  # of a pair, .hdr and .img, the second
    if not stored.is_file():
        return  # reading it will tell
    offset = int(getattr(image.dataobj, "offset", 0))
    needed = offset + math.prod(int(n) for n in image.shape) * int(image.get_data_dtype().itemsize)
    check_held(path, needed, stored.stat().st_size, DEFLATE if stored.name.lower().endswith(".gz") else 1)


def _placement(path: Path, image: Any, affine: np.ndarray) -> NiftiPlacement:
    """Return what the header says of the place, whichever of it nibabel has taken the affine from."""
    header = image.header
    if "qform_code" not in header:  # an Analyze file
        return scanner_placement(affine)
    codes = int(header["qform_code"]), int(header["sform_code"])
    with telling_damage(path, _DAMAGED):
        qform = header.get_qform() if codes[0] > 0 else affine
        sform = header.get_sform() if codes[1] > 0 else affine
    zooms = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    return NiftiPlacement(qform, sform, codes, np.where(zooms > 0, zooms, 1.0))


def _bits(image: Any) -> int:
    stored = image.get_data_dtype()
    if stored == np.uint8 and not _is_scaled(image):
        return 8
    return max(16, stored.itemsize * 8)


def _is_scaled(image: Any) -> bool:
    """Return whether stored values are multiplied or added to: nibabel makes float64 of them."""
    return (getattr(image.dataobj, "slope", 1.0), getattr(image.dataobj, "inter", 0.0)) != (1.0, 0.0)
