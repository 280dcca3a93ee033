"""DICOM files: pixels through MONAI's ITKReader or PydicomReader, geometry from the header, the same for both."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from monai.data import ITKReader, PydicomReader
from pydicom.dataelem import RawDataElement
from pydicom.uid import RLELossless, SegmentationStorage

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.dicom_header import PER_FRAME, frame_count, frame_numbers
from braintumor_ext.transforms.dicom_stream import begins_frame, check_run_lengths, check_stream, fragments_of
from braintumor_ext.transforms.formats import DICOM, telling_damage
from braintumor_ext.transforms.grid import SliceGrid, spatial_order
from braintumor_ext.transforms.limits import DEFLATE, check_held, check_size

DICOM_READERS = ("itk", "pydicom")
"""Which MONAI reader decodes the pixels first; the other one is tried if it fails."""

_DAMAGED = "is no DICOM file, or has a damaged header"
_COLOURS = {"MONOCHROME1": 1, "MONOCHROME2": 1, "RGB": 3}
"""Colour spaces, and the samples of a pixel in each."""

_UNDEFINED = 0xFFFFFFFF  # of an element's length: its end is marked
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_AXIAL = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])  # where no orientation is told
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# (row, column, slice) <-> (column, row, slice): ITK's and NIfTI's index order for a DICOM image. It is its own inverse.
_SWAP_ORNT = np.array([[1.0, 1.0], [0.0, 1.0], [2.0, 1.0]])


def dicom_grid(path: Path) -> SliceGrid:
    """Return a DICOM file's grid from its header; rows and columns are shown as they are stored.

    The file's own index order is ITK's: (column, row, frame). Frames that are stored out of their spatial order are
    put in it, along the normal of their planes: frame k is then the k-th place.

    Raises:
        InputError: if it is no DICOM image, of a colour space that is not supported, or has frames whose places repeat,
            are uneven or differ in orientation: no affine can tell where they are; or if it asks for more than the
            limits or than the file can hold (see `transforms.limits`).
    """
    with telling_damage(path, _DAMAGED):  # pydicom parses an element when it is asked for
        return _grid(path, _header(path))


def dicom_pixels(path: Path, reader: str = "itk") -> np.ndarray:
    """Return the frames of a DICOM file, (frames, C, H, W), rescaled, MONOCHROME1 inverted, in the order of its grid.

    Padding (PixelPaddingValue, up to PixelPaddingRangeLimit) becomes the darkest value of what is not padding. ``itk``
    or ``pydicom`` decodes; the other one is tried if it fails.

    Raises:
        InputError: as for `dicom_grid`, if the file holds fewer pixels than its header needs, more frames, or frames of
            another size, and if neither reader can decode them.
    """
    with telling_damage(path, _DAMAGED):
        header = _header(path)
        order = _frame_order(path, header)
        _check_bytes(path, header)
    reasons = []
    for name in sorted(DICOM_READERS, key=lambda name: name != reader):
        try:
            shape = (frame_count(header), header.Rows, header.Columns, _COLOURS[header.PhotometricInterpretation])
            frames = _decoded(path, name, header).reshape(shape)
        except Exception as error:  # the readers' C++ and codec layers raise what they like
            reasons.append(f"{name}: {str(error).strip().splitlines()[-1] if str(error).strip() else error!r}")
            logging.getLogger(__name__).debug("%s: %s could not decode it", path, name, exc_info=True)
            continue
        return _without_padding(np.moveaxis(frames if order is None else frames[order], -1, 1), header)
    raise InputError(
        path, f"has pixels that cannot be decoded ({'; '.join(reasons)})", "Copy it again or decompress it"
    )


def _header(path: Path) -> pydicom.Dataset:
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    _check_kind(path, header)
    _check_claims(path, header)
    return header


def _check_kind(path: Path, header: pydicom.Dataset) -> None:
    """Refuse what is no image, or an image of samples that are not read."""
    missing = [name for name in ("Rows", "Columns", "PhotometricInterpretation") if name not in header]
    colour = header.get("PhotometricInterpretation")
    if header.get("SOPClassUID") == SegmentationStorage:
        raise InputError(path, "is a DICOM segmentation, not an image", "Leave it out")
    if "MOSAIC" in (header.get("ImageType") or ()):  # Siemens lays the slices of a volume side by side
        raise InputError(path, "is a mosaic of a volume's slices, not a slice", "Convert it to NIfTI, as dcm2niix does")
    if missing:
        raise InputError(
            path, f"holds no DICOM image (it lacks {', '.join(missing)})", "Give an image file of the series"
        )
    if colour not in _COLOURS:
        raise InputError(path, f"has the colour space {colour}", f"Convert it to one of {', '.join(_COLOURS)}")
    samples = int(header.get("SamplesPerPixel", _COLOURS[colour]) or 0)
    if samples != _COLOURS[colour]:
        raise InputError(
            path, f"has {samples} sample(s) a pixel where {colour} has {_COLOURS[colour]}", "Export it again"
        )


def _check_claims(path: Path, header: pydicom.Dataset) -> None:
    """Refuse a file that asks for more than the limits, or claims more than it can hold."""
    frames, rows, columns = frame_count(header), int(header.Rows), int(header.Columns)
    bits, samples = int(header.get("BitsAllocated", 16)), _COLOURS[header.PhotometricInterpretation]
    if min(frames, rows, columns, bits) < 1:
        problem = f"tells of {frames} frame(s) of {rows} x {columns} pixels of {bits} bits"
        raise InputError(path, problem, "Export it again")
    if _is_compressed(header):
        check_held(path, frames * 8, path.stat().st_size)  # each is in an item of its own, whose head is as long
    else:
        syntax = header.file_meta.get("TransferSyntaxUID")
        most = DEFLATE if syntax is not None and syntax.is_deflated else 1
        check_held(path, _needed(header), path.stat().st_size, most)
    check_size(path, rows, columns, frames, samples * max(bits / 8, 2))


def _is_compressed(header: pydicom.Dataset) -> bool:
    syntax = header.file_meta.get("TransferSyntaxUID")
    return syntax is not None and syntax.is_encapsulated


def _needed(header: pydicom.Dataset) -> int:
    """Return the bytes of pixels that a header tells of, where they are not compressed."""
    values = frame_count(header) * int(header.Rows) * int(header.Columns) * _COLOURS[header.PhotometricInterpretation]
    return -(-values * int(header.get("BitsAllocated", 16)) // 8)


def _check_bytes(path: Path, header: pydicom.Dataset) -> None:
    """Refuse a file that holds fewer pixels than its header tells, which ITK fills up from stale memory, or more."""
    whole = pydicom.dcmread(path, force=True)
    list(whole.file_meta)  # pydicom tells a kind that is none; GDCM would look for its length elsewhere
    for element in whole.values():
        # GDCM takes as much memory as an element claims.
        if isinstance(element, RawDataElement) and element.length != _UNDEFINED:
            check_held(path, element.length, len(element.value or b""))
    keyword = next((name for name in _PIXELS if name in whole), None)
    if keyword is None:
        raise InputError(path, "holds no DICOM image (it lacks PixelData)", "Give an image file of the series")
    frames, data = frame_count(header), whole[keyword].value or b""
    rows, columns, samples = int(header.Rows), int(header.Columns), _COLOURS[header.PhotometricInterpretation]
    if _is_compressed(whole):
        parts = fragments_of(data)
        if whole.file_meta.TransferSyntaxUID == RLELossless:
            begun = parts
            for part in parts:
                check_run_lengths(path, part, rows * columns)
        else:
            begun = [part for part in parts if begins_frame(part)]
            for part in begun:
                check_stream(path, part, rows, columns, samples)
        found, needed, unit, too_many = len(parts), frames, "fragment(s)", len(begun) > frames
    else:
        found, needed, unit = len(data), _needed(header), "bytes"
        too_many = found * frames // needed > frames
    if found < needed or too_many:
        problem = f"holds {found:,} {unit} of pixels where its header needs {needed:,}"
        raise InputError(
            path,
            f"{problem} ({frames} frame(s) of {rows} x {columns})",
            "Copy it again from its source" if found < needed else "Export it again with the rows and frames it has",
        )


def _without_padding(frames: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    """Return frames whose padding has become the darkest value of what is none (DICOM PS3.3, C.7.5.1.1.2)."""
    first = header.get("PixelPaddingValue")
    if first is None or frames.shape[1] != 1:
        return frames
    stored = sorted(_as_stored(int(value), header) for value in (first, header.get("PixelPaddingRangeLimit", first)))
    slope, intercept = _rescale(header)
    ends = np.array([slope * value + intercept for value in stored])
    if header.PhotometricInterpretation == "MONOCHROME1":
        ends = _inverted(ends, header)
    margin = abs(slope) / 2
    padding = (frames >= ends.min() - margin) & (frames <= ends.max() + margin)
    if not padding.any() or padding.all():
        return frames
    return np.where(padding, frames[~padding].min(), frames)


def _as_stored(value: int, header: pydicom.Dataset) -> int:
    """Return a pixel's value in the pixels' own sign: some scanners tell that of signed ones without it."""
    bits = int(header.get("BitsAllocated", 16))
    low = -(2 ** (bits - 1)) if int(header.get("PixelRepresentation", 0)) else 0
    return (value - low) % 2**bits + low


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


def _grid(path: Path, header: pydicom.Dataset) -> SliceGrid:
    frames, rows, columns = frame_count(header), int(header.Rows), int(header.Columns)
    spacing = frame_numbers(header, "PixelSpacing")
    if spacing is None or (spacing <= 0).any():
        spacing = np.full(2, np.nan)
    order = _frame_order(path, header)
    affine = _affine(header, range(frames) if order is None else order, np.nan_to_num(spacing, nan=1.0))
    return SliceGrid(
        container=DICOM,
        bits=_bits(header),
        shape=(rows, columns, frames),
        affine=affine,
        spacing=spacing,
        native_shape=(columns, rows, frames),
        native_ndim=3,
        native_affine=affine[:, [1, 0, 2, 3]],
        native_ornt=_SWAP_ORNT.copy(),
        frames=None if order is None else tuple(int(frame) for frame in order),
    )


def _frame_order(path: Path, header: pydicom.Dataset) -> np.ndarray | None:
    """Return which stored frame is at each place if frames are out of their spatial order, else None."""
    frames, groups = frame_count(header), list(header.get(PER_FRAME) or ())
    if frames < 2 or len(groups) < frames or not all(group.get("PlanePositionSequence") for group in groups[:frames]):
        return None
    places, turns = (
        [frame_numbers(header, keyword, frame) for frame in range(frames)]
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient")
    )
    if any(place is None for place in places):
        return None
    told = [turn for turn in turns if turn is not None]
    if told and (len(told) < frames or not np.allclose(told, told[0], atol=1e-3)):
        raise InputError(path, "has frames of several orientations", "Save each orientation as a file of its own")
    directions = told[0] if told else _AXIAL
    order = spatial_order(path, np.array(places) @ np.cross(directions[:3], directions[3:]))
    steps = np.diff(order)
    return None if (steps == 1).all() or (steps == -1).all() else order  # up or down, as stored


def _affine(header: pydicom.Dataset, order: Sequence[int] | np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return what takes (row, column, place, 1) to RAS mm (DICOM PS3.3, C.7.6.2.1.1), with the spacing in mm."""
    first, last = int(order[0]), int(order[-1])
    orientation = frame_numbers(header, "ImageOrientationPatient", first)
    if orientation is None or np.linalg.norm(np.cross(orientation[:3], orientation[3:])) < 1e-3:
        orientation = _AXIAL
    along_row, along_column = orientation[:3], orientation[3:]
    position, end = (frame_numbers(header, "ImagePositionPatient", frame) for frame in (first, last))
    affine = np.eye(4)
    affine[:3, 0] = along_column * spacing[0]
    affine[:3, 1] = along_row * spacing[1]
    affine[:3, 2] = np.cross(along_row, along_column) * _slice_distance(header)
    if position is not None:
        affine[:3, 3] = position
        if end is not None and not np.allclose(end, position):
            affine[:3, 2] = (end - position) / (len(order) - 1)
    return _LPS_TO_RAS @ affine


def _slice_distance(header: pydicom.Dataset) -> float:
    told = (frame_numbers(header, keyword) for keyword in ("SpacingBetweenSlices", "SliceThickness"))
    return next((float(abs(distance[0])) for distance in told if distance is not None and distance[0]), 1.0)


def _rescale(header: pydicom.Dataset) -> tuple[float, float]:
    slope, intercept = (frame_numbers(header, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    return 1.0 if slope is None else float(slope[0]), 0.0 if intercept is None else float(intercept[0])


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
