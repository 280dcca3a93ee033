"""Putting masks of displayed slices back into the grid of the file that they came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.orientations import apply_orientation
from PIL import Image

from braintumor_ext.png_file import write_png
from braintumor_ext.transforms.formats import DICOM, NIFTI
from braintumor_ext.transforms.grid import scanner_placement

Mask = np.ndarray | torch.Tensor

_PICTURE_ORNT = np.array([[1.0, 1.0], [0.0, 1.0], [2.0, 1.0]])  # (row, column, slice) <-> (column, row, slice)
_PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


def restore_grid(mask: Mask, meta: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return a slice's mask as an array in its file's own index order, and that array's affine.

    Args:
        mask: (H, W) or (1, H, W), true or non-zero in the tumour, as large as the slice was when it was read.
        meta: the slice's metadata (see `SliceGrid.metadata`).

    Returns:
        uint8 array of 0 and 1, of the file's own shape (for a slice of a volume: zero in all others), and the (4, 4)
        affine that takes its indices to RAS mm.

    Raises:
        ValueError: if the mask has another size than the slice.
    """
    return restore_volume({max(int(meta["slice_index"]), 0): mask}, meta)


def restore_volume(masks: Mapping[int, Mask], meta: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks of several slices of one file as one array in its own index order, and that array's affine.

    ``masks`` takes slice indices to masks as for `restore_grid`; slices that are absent are zero. The metadata of any
    slice will do.

    Raises:
        ValueError: if a mask has another size than the slices, or the file has no slice of that index.
    """
    count = int(meta["slice_count"])
    shown = np.zeros((*map(int, meta["slice_size"]), count), dtype=np.uint8)
    for index, mask in masks.items():
        if not 0 <= index < count:
            raise ValueError(f"{meta['filename_or_obj']} has no slice {index}: valid are 0 to {count - 1}")
        shown[:, :, index] = _plane(mask, meta)
    return in_file_order(shown, meta), np.asarray(meta["native_affine"], dtype=np.float64).copy()


def in_file_order(shown: np.ndarray, meta: Mapping[str, Any]) -> np.ndarray:
    """Return a file's slices, (H, W, slices), in its own index order and number of axes; values and type stay."""
    array = apply_orientation(shown, np.asarray(meta["native_ornt"], dtype=np.float64))
    native_shape = tuple(int(n) for n in meta["native_shape"])
    ndim = int(meta["native_ndim"])
    return np.ascontiguousarray(array.reshape(native_shape[:ndim] + (1,) * (ndim - len(native_shape))))


def picture_as_nifti(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata by which a picture's mask is written as NIfTI, shown like the picture itself.

    That is as ITK reads a picture: the column comes first, one pixel is 1 mm, the axes run to the left and posterior.
    """
    height, width = meta["slice_size"]
    return {
        **meta,
        "container": NIFTI,
        "native_shape": np.array([width, height, meta["slice_count"]]),
        "native_ndim": 3,
        "native_affine": _PICTURE_AFFINE,
        "native_ornt": _PICTURE_ORNT,
        **scanner_placement(_PICTURE_AFFINE).metadata(),
    }


def write_mask(mask: Mask, meta: Mapping[str, Any], stem: str | Path) -> Path:
    """Write a slice's mask in its file's own grid: PNG (0 and 255) for a picture, ``.nii.gz`` for NIfTI and DICOM.

    A slice of a NIfTI or DICOM volume is written as a volume of the file's shape that is zero elsewhere; a frame of a
    picture with several is written as one PNG of the frame. ``stem`` is where to write, without a suffix; missing
    folders are made. The rest is as for `restore_grid`. Return the path that was written.
    """
    if meta["container"] in (NIFTI, DICOM):
        return _write_nifti(restore_grid(mask, meta)[0], meta, Path(stem))
    target = _with_suffix(Path(stem), ".png")
    write_png(target, _plane(mask, meta) * np.uint8(255))
    return target


def write_volume_mask(masks: Mapping[int, Mask], meta: Mapping[str, Any], stem: str | Path) -> Path:
    """Write the masks of several slices of one file in its own grid: multi-page TIFF for a picture, else ``.nii.gz``.

    The rest is as for `restore_volume` and `write_mask`. Return the path that was written.
    """
    volume, _ = restore_volume(masks, meta)
    if meta["container"] in (NIFTI, DICOM):
        return _write_nifti(volume, meta, Path(stem))
    target = _with_suffix(Path(stem), ".tif")
    pages = [Image.fromarray(page * np.uint8(255)) for page in np.moveaxis(np.atleast_3d(volume), 2, 0)]
    pages[0].save(target, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    return target


def _plane(mask: Mask, meta: Mapping[str, Any]) -> np.ndarray:
    plane = np.asarray(mask.detach().cpu() if isinstance(mask, torch.Tensor) else mask)
    plane = plane[0] if plane.ndim == 3 and plane.shape[0] == 1 else plane
    name, size = meta["filename_or_obj"], tuple(int(n) for n in meta["slice_size"])
    if plane.shape != size:
        raise ValueError(f"a mask of shape {plane.shape} does not fit the slice of {name}, whose size is {size}")
    return (plane > 0).astype(np.uint8)


def _with_suffix(stem: Path, suffix: str) -> Path:
    stem.parent.mkdir(parents=True, exist_ok=True)
    return stem.with_name(stem.name + suffix)  # with_suffix() would cut names such as "1.2.840.1"


def nifti_image(array: np.ndarray, meta: Mapping[str, Any]) -> nib.Nifti1Image:
    """Return an array in a file's own grid as an image that says where it is in every way in which the file does.

    Of the metadata ``native_qform``, ``native_sform``, ``native_codes`` and ``native_zooms`` count (see
    `NiftiPlacement`).
    """
    header = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_zooms((*meta["native_zooms"], *(1.0,) * array.ndim)[: array.ndim])
    q_code, s_code = (int(code) for code in meta["native_codes"])
    if q_code > 0:
        header.set_qform(np.asarray(meta["native_qform"]), q_code, strip_shears=True)
    if s_code > 0:
        header.set_sform(np.asarray(meta["native_sform"]), s_code)
    header.set_xyzt_units("mm")
    return nib.Nifti1Image(array, None, header)


def _write_nifti(array: np.ndarray, meta: Mapping[str, Any], stem: Path) -> Path:
    target = _with_suffix(stem, ".nii.gz")
    nib.save(nifti_image(array, meta), target)
    return target
