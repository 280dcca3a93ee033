"""The grid of a file's slices: where the pixels that a person sees lie in the patient and in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt2axcodes, ornt_transform

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.formats import ARRAY, PICTURE

IDENTITY_ORNT = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
"""nibabel's orientation array of axes that stay as they are."""

# Radiological display: where rows and columns run to, by the world axis that the slices are stacked along.
_DISPLAY_AXES = {0: ("I", "P"), 1: ("I", "L"), 2: ("P", "L")}
# Slices count as the through-plane direction if their spacing exceeds that of both other axes by this factor.
_THICK = 1.2
_ONE_PLACE = 1e-3  # mm
_OFF_GRID = 0.1  # of the distance between slices; what headers round stays below


@dataclass(frozen=True)
class NiftiPlacement:
    """How a NIfTI header says where its voxels are; programs differ in which of it they read."""

    qform: np.ndarray  # (4, 4) the affine of the quaternion
    sform: np.ndarray  # (4, 4) the affine of the rows
    codes: tuple[int, int]  # of qform and sform: 0 unknown, 1 scanner, 2 aligned, 3 Talairach, 4 MNI
    zooms: np.ndarray  # (3,) mm between voxels along each axis, which counts where both codes are 0

    def metadata(self) -> dict[str, Any]:
        """Return it as a slice's metadata tell it."""
        return {
            "native_qform": np.asarray(self.qform, dtype=np.float64),
            "native_sform": np.asarray(self.sform, dtype=np.float64),
            "native_codes": np.array(self.codes, dtype=np.int64),
            "native_zooms": np.asarray(self.zooms, dtype=np.float64),
        }


def scanner_placement(affine: np.ndarray) -> NiftiPlacement:
    """Return the placement of a file whose one affine, to RAS mm, is in the scanner's coordinates: both codes 1."""
    return NiftiPlacement(affine, affine, (1, 1), voxel_sizes(affine))


@dataclass(frozen=True)
class SliceGrid:
    """The geometry of a file's slices, the same for every format."""

    container: str  # `picture`, `nifti`, `dicom` or `array`
    bits: int  # 1 or 8 if values are ready for display (0..1, 0..255), else the stored type's size, at least 16
    shape: tuple[int, int, int]  # (H, W, slices) as a person sees them
    affine: np.ndarray  # (4, 4), takes (row, column, slice, 1) to RAS mm
    spacing: np.ndarray  # (2,) mm between rows and between columns; NaN if unknown
    native_shape: tuple[int, int, int]  # (3,) in the file's own index order, padded with 1
    native_ndim: int  # the number of axes of the file's array
    native_affine: np.ndarray  # (4, 4), takes the file's own indices to RAS mm
    native_ornt: np.ndarray  # (3, 2) nibabel orientation array that takes (row, column, slice) to the file's own axes
    # the stored frame at each slice, where that is not its index; its own index order has them sorted, too
    frames: tuple[int, ...] | None = None
    placement: NiftiPlacement | None = None  # how a NIfTI file says where it is; None where there is one affine only

    @property
    def slice_count(self) -> int:
        """The number of slices in the file."""
        return self.shape[2]

    def metadata(self, path: str | Path, slice_index: int, factors: tuple[int, int] = (1, 1)) -> dict[str, Any]:
        """Return the metadata of one slice: the same keys, types and shapes whatever the format.

        Args:
            path: the file, or an empty string for an array in memory.
            slice_index: 0-based; of no effect for a single slice, whose index is told as -1.
            factors: by which the rows and columns of its array were shrunk; only ``affine`` tells of them.
        """
        single = self.slice_count == 1
        index = 0 if single else slice_index
        affine = self.affine.copy()
        affine[:3, 3] += index * affine[:3, 2]
        of_array = affine.copy()
        for axis, factor in enumerate(factors):
            of_array[:3, 3] += affine[:3, axis] * (factor - 1) / 2
            of_array[:3, axis] *= factor
        size = np.array(self.shape[:2], dtype=np.int64)
        return {
            "filename_or_obj": str(path),
            "affine": of_array,
            "original_affine": affine,
            "space": "RAS",
            "original_channel_dim": 0,
            "spatial_shape": size.copy(),  # MONAI's writers and inverters look for this name
            "spacing": np.asarray(self.spacing, dtype=np.float64),
            "slice_size": size,
            "slice_index": -1 if single else int(slice_index),
            "slice_count": int(self.slice_count),
            "native_shape": np.array(self.native_shape, dtype=np.int64),
            "native_ndim": int(self.native_ndim),
            "native_affine": np.asarray(self.native_affine, dtype=np.float64),
            "native_ornt": np.asarray(self.native_ornt, dtype=np.float64),
            "native_frame": index if self.frames is None else self.frames[index],
            **(self.placement or scanner_placement(self.native_affine)).metadata(),
            "container": self.container,
            "bits": int(self.bits),
        }


def flat_grid(height: int, width: int, slices: int = 1, bits: int = 8, in_memory: bool = False) -> SliceGrid:
    """Return the grid of a picture, or of an array in memory: no place in a patient, no known spacing."""
    return SliceGrid(
        container=ARRAY if in_memory else PICTURE,
        bits=bits,
        shape=(height, width, slices),
        affine=np.eye(4),
        spacing=np.full(2, np.nan),
        native_shape=(height, width, slices),
        native_ndim=2 if slices == 1 else 3,
        native_affine=np.eye(4),
        native_ornt=IDENTITY_ORNT.copy(),
    )


def slice_axis(shape: tuple[int, int, int], affine: np.ndarray) -> int:
    """Return the axis of an array that its slices are stacked along; ``affine`` takes its indices to RAS mm.

    It is the last axis of length 1 if there is one; else the axis whose spacing is more than 1.2 times that of both
    others (thick slices); else the axis nearest to the patient's inferior-superior direction (axial slices).
    """
    if 1 in shape:
        return max(axis for axis in range(3) if shape[axis] == 1)
    spacing = voxel_sizes(affine)
    thickest = int(np.argmax(spacing))
    if spacing[thickest] > _THICK * np.delete(spacing, thickest).max():
        return thickest
    return int(np.flatnonzero(io_orientation(affine)[:, 0] == 2)[0])


def patient_grid(
    container: str,
    bits: int,
    native_shape: tuple[int, int, int],
    native_ndim: int,
    native_affine: np.ndarray,
    placement: NiftiPlacement | None = None,
) -> SliceGrid:
    """Return the grid of a volume shown as radiologists see it, from its affine, which must be invertible.

    Axial slices have rows that run to the patient's posterior and columns to the left, coronal ones inferior and left,
    sagittal ones inferior and posterior. Oblique volumes take the nearest of these; nothing is resampled. Slices keep
    the file's own order. The arguments are those of `SliceGrid`.
    """
    native = io_orientation(native_affine)
    through = slice_axis(native_shape, native_affine)
    rows, columns = _DISPLAY_AXES[int(native[through, 0])]
    display = axcodes2ornt((rows, columns, ornt2axcodes(native)[through]))
    to_display = ornt_transform(native, display)
    affine = native_affine @ inv_ornt_aff(to_display, native_shape)
    shape = tuple(int(native_shape[np.flatnonzero(to_display[:, 0] == axis)[0]]) for axis in range(3))
    return SliceGrid(
        container=container,
        bits=bits,
        shape=(shape[0], shape[1], shape[2]),
        affine=affine,
        spacing=voxel_sizes(affine)[:2],
        native_shape=native_shape,
        native_ndim=native_ndim,
        native_affine=native_affine,
        native_ornt=ornt_transform(display, native),
        placement=placement,
    )


def spatial_order(path: str | Path, along: np.ndarray, what: str = "frame") -> np.ndarray:
    """Return which slice is at each place, (N,), in ascending order of their places ``along`` the normal, (N,) in mm.

    Raises:
        InputError: if two are at one place, or one lies farther than a tenth of the distance between slices from its
            place on an even grid.
    """
    order = np.argsort(along, kind="stable")
    places = along[order]
    remedy = f"Give each volume by itself, its {what}s evenly spaced"
    repeated = np.flatnonzero(np.diff(places) < _ONE_PLACE)
    if repeated.size:
        first, second = sorted(int(index) + 1 for index in order[repeated[0] : repeated[0] + 2])
        problem = f"has several {what}s at one place ({first} and {second}: two echoes or times?)"
        raise InputError(path, problem, remedy)
    if len(places) > 2:
        even = np.linspace(places[0], places[-1], len(places))
        distances = np.diff(places)
        if np.abs(places - even).max() > _OFF_GRID * distances.mean():
            problem = f"has unevenly spaced {what}s ({distances.min():g} to {distances.max():g} mm apart; one missing?)"
            raise InputError(path, problem, remedy)
    return order
