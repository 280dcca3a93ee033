"""DICOM files: pixels through MONAI's ITKReader or PydicomReader, geometry from the header, the same for both."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from monai.data import ITKReader, PydicomReader
from pydicom.errors import BytesLengthException, InvalidDicomError

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.formats import DICOM
from braintumor_ext.transforms.grid import SliceGrid

DICOM_READERS = ("itk", "pydicom")
"""Which MONAI reader decodes the pixels first; the other one is tried if it fails."""

# What pydicom raises on broken headers.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    NotImplementedError,
    InvalidDicomError,
    BytesLengthException,
)
_COLOURS = ("MONOCHROME1", "MONOCHROME2", "RGB")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# (row, column, slice) <-> (column, row, slice): ITK's and NIfTI's index order for a DICOM image. It is its own inverse.
_SWAP_ORNT = np.array([[1.0, 1.0], [0.0, 1.0], [2.0, 1.0]])


def dicom_grid(path: Path) -> SliceGrid:
    """Return a DICOM file's grid from its header; rows and columns are shown as they are stored.

    The file's own index order is ITK's: (column, row, frame).

    Args:
        path: a DICOM image with one frame or more.

    Raises:
        InputError: if it is no DICOM image or of a colour space that is not supported.
    """
    header = _header(path)
    try:
        return _grid(header)
    except _BROKEN as error:  # pydicom parses an element when it is asked for
        raise _damaged(path, error) from error


def dicom_pixels(path: Path, reader: str = "itk") -> np.ndarray:
    """Return the frames of a DICOM file, (frames, C, H, W), rescaled, MONOCHROME1 inverted.

    Args:
        path: as for `dicom_grid`.
        reader: ``itk`` or ``pydicom``; the other one is tried if it fails.

    Raises:
        InputError: as for `dicom_grid`, and if neither reader can decode the pixels.
    """
    header = _header(path)
    first = DICOM_READERS.index(reader)
    reasons = []
    for name in (DICOM_READERS[first], DICOM_READERS[1 - first]):
        try:
            frames = _decoded(path, name, header).reshape(_frame_count(header), header.Rows, header.Columns, -1)
        except Exception as error:  # the readers' C++ and codec layers raise what they like
            reasons.append(f"{name}: {str(error).strip().splitlines()[-1] if str(error).strip() else error!r}")
            logging.getLogger(__name__).debug("%s: %s could not decode it", path, name, exc_info=True)
            continue
        return np.moveaxis(frames, -1, 1)
    raise InputError(
        path, f"has pixels that cannot be decoded ({'; '.join(reasons)})", "Copy it again or decompress it"
    )


def _header(path: Path) -> pydicom.Dataset:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        missing = [name for name in ("Rows", "Columns", "PhotometricInterpretation") if name not in header]
        colour = header.get("PhotometricInterpretation")
    except _BROKEN as error:
        raise _damaged(path, error) from error
    if missing:
        raise InputError(
            path, f"holds no DICOM image (it lacks {', '.join(missing)})", "Give an image file of the series"
        )
    if colour not in _COLOURS:
        raise InputError(path, f"has the colour space {colour}", f"Convert it to one of {', '.join(_COLOURS)}")
    return header


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error) or type(error).__name__
    return InputError(path, f"is no DICOM file, or has a damaged header ({reason})", "Copy it again from its source")


def _decoded(path: Path, reader: str, header: pydicom.Dataset) -> np.ndarray:
    with warnings.catch_warnings():
        # PydicomReader warns of geometry that it cannot derive; the grid comes from the header, not from it.
        warnings.simplefilter("ignore")
        if reader == "itk":
            itk_reader = ITKReader(reverse_indexing=True)
            image = itk_reader.read(str(path))
            # get_data returns a view on the image's memory: copied while the image is alive.
            return np.array(itk_reader.get_data(image)[0])
        pydicom_reader = PydicomReader(swap_ij=False, force=True)
        values = np.asarray(pydicom_reader.get_data(pydicom_reader.read(str(path)))[0])
    # GDCM, behind ITK, has turned MONOCHROME1 round already.
    return _inverted(values, header) if header.PhotometricInterpretation == "MONOCHROME1" else values


def _frame_count(header: pydicom.Dataset) -> int:
    return int(header.get("NumberOfFrames", 1) or 1)


def _groups(header: pydicom.Dataset, frame: int) -> list[pydicom.Dataset]:
    """Return where a frame's geometry may stand: the file itself, what all frames share, the frame's own."""
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    return [header, *shared, *own]


def _value(header: pydicom.Dataset, keyword: str, sequence: str, frame: int = 0) -> Any:
    for group in _groups(header, frame):
        for holder in (group, *list(group.get(sequence) or [])[:1]):
            if holder.get(keyword) not in (None, ""):
                return holder.get(keyword)
    return None


def _numbers(value: Any, count: int) -> np.ndarray | None:
    if value is None:
        return None
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return numbers if numbers.shape == (count,) and np.isfinite(numbers).all() else None


def _grid(header: pydicom.Dataset) -> SliceGrid:
    frames, rows, columns = _frame_count(header), int(header.Rows), int(header.Columns)
    spacing = _numbers(_value(header, "PixelSpacing", "PixelMeasuresSequence"), 2)
    if spacing is not None and (spacing <= 0).any():
        spacing = None
    affine = _affine(header, frames, np.ones(2) if spacing is None else spacing)
    return SliceGrid(
        container=DICOM,
        bits=_bits(header),
        shape=(rows, columns, frames),
        affine=affine,
        spacing=np.full(2, np.nan) if spacing is None else spacing,
        native_shape=(columns, rows, frames),
        native_ndim=3,
        native_affine=affine[:, [1, 0, 2, 3]],
        native_ornt=_SWAP_ORNT.copy(),
    )


def _affine(header: pydicom.Dataset, frames: int, spacing: np.ndarray) -> np.ndarray:
    """Return what takes (row, column, frame, 1) to RAS mm (DICOM PS3.3, C.7.6.2.1.1)."""
    orientation = _numbers(_value(header, "ImageOrientationPatient", "PlaneOrientationSequence"), 6)
    position = _numbers(_value(header, "ImagePositionPatient", "PlanePositionSequence"), 3)
    if orientation is None or np.linalg.norm(np.cross(orientation[:3], orientation[3:])) < 1e-3:
        orientation = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    along_row, along_column = orientation[:3], orientation[3:]
    affine = np.eye(4)
    affine[:3, 0] = along_column * spacing[0]
    affine[:3, 1] = along_row * spacing[1]
    affine[:3, 2] = np.cross(along_row, along_column) * _slice_distance(header)
    if position is not None:
        affine[:3, 3] = position
        last = _numbers(_value_of_frame(header, frames - 1), 3)
        if frames > 1 and last is not None and not np.allclose(last, position):
            affine[:3, 2] = (last - position) / (frames - 1)
    return _LPS_TO_RAS @ affine


def _value_of_frame(header: pydicom.Dataset, frame: int) -> Any:
    own = list(header.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    plane = list(own[0].get("PlanePositionSequence") or []) if own else []
    return plane[0].get("ImagePositionPatient") if plane else None


def _slice_distance(header: pydicom.Dataset) -> float:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        distance = _numbers(_value(header, keyword, "PixelMeasuresSequence"), 1)
        if distance is not None and abs(distance[0]) > 0:
            return float(abs(distance[0]))
    return 1.0


def _rescale(header: pydicom.Dataset) -> tuple[float, float]:
    slope = _value(header, "RescaleSlope", "PixelValueTransformationSequence")
    intercept = _value(header, "RescaleIntercept", "PixelValueTransformationSequence")
    return float(1 if slope is None else slope), float(intercept or 0)


def _bits(header: pydicom.Dataset) -> int:
    allocated = int(header.get("BitsAllocated", 16))
    if allocated == 1:
        return 1
    unsigned = int(header.get("PixelRepresentation", 0)) == 0
    full_range = int(header.get("BitsStored", allocated)) == 8
    ready = allocated == 8 and full_range and unsigned and _rescale(header) == (1.0, 0.0)
    return 8 if ready else max(16, allocated)


def _inverted(values: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Turn values round within the range that the stored type can hold, as GDCM does: 8 bit stays within 0..255."""
    bits = int(header.get("BitsStored", 16))
    low_plus_high = -1 if int(header.get("PixelRepresentation", 0)) else 2**bits - 1
    slope, intercept = _rescale(header)
    return slope * low_plus_high + 2 * intercept - values.astype(np.float64)
