"""The images that a DICOM object refers to: what they must hold, and which of them make up one volume."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from braintumor_ext.errors import InputError

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_SIZE = ("Rows", "Columns")
_GEOMETRY = {
    "ImagePositionPatient": ("PlanePositionSequence", 3),
    "ImageOrientationPatient": ("PlaneOrientationSequence", 6),
    "PixelSpacing": ("PixelMeasuresSequence", 2),
}
# What DICOM lets stand empty, but not be absent (type 2): de-identified files often lack it.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "SliceThickness"),
)
_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_PIXELS = 0x7FE0
_SAME_DIRECTION = 1e-4  # cosines of one orientation that differ by less come of rounding
_SAME_PLACE = 1e-3  # mm
_REMEDY = "Give --output_format nifti, or another export of the series"


def read_source(path: str | PathLike[str]) -> pydicom.Dataset:
    """Return a DICOM file's header, without its pixels, once it is known to do as a source.

    Raises:
        InputError: it cannot be read, or lacks what an object that refers to it needs.
    """
    try:
        header = pydicom.dcmread(Path(path), stop_before_pixels=True, force=True)
    except (OSError, EOFError, ValueError, TypeError, InvalidDicomError) as error:
        raise InputError(path, f"cannot be read again ({error})", "Leave it where it is during the run") from error
    return source_header(header)


def source_header(source: pydicom.Dataset) -> pydicom.Dataset:
    """Return a copy of an image's header that DICOM objects can be derived from; the image stays as it is.

    Left out are the pixels; what may be empty but not absent is made empty; the orientation and spacing that each frame
    of a multi-frame image repeats are told once for all.

    Raises:
        InputError: it lacks UIDs or geometry; names the file and what it lacks.
    """
    header = pydicom.Dataset()
    for tag in list(source.keys()):
        if tag.group < _PIXELS:
            try:
                header[tag] = source[tag]
            except Exception:  # a damaged element counts as absent; pydicom raises what it likes
                continue
    header.filename = name_of(source)
    if frame_count(header) > 1 or _SHARED in header:
        _share(header)
    _check(header)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header or not _is_legal(keyword, header[keyword].value):
            header[keyword] = DataElement(tag_for_keyword(keyword) or 0, dictionary_VR(keyword), None)
    return header


def name_of(source: pydicom.Dataset) -> str:
    """Return what a person knows an image by: its file, else its UID."""
    return str(getattr(source, "filename", None) or source.get("SOPInstanceUID", "a DICOM image"))


def frame_count(source: pydicom.Dataset) -> int:
    """Return the number of frames of an image."""
    return int(source.get("NumberOfFrames", 1) or 1)


def is_multi_frame(source: pydicom.Dataset) -> bool:
    """Return whether a header's frames, one or many, have a geometry of their own each."""
    return _SHARED in source


def geometry_value(source: pydicom.Dataset, keyword: str, frame: int = 0) -> np.ndarray | None:
    """Return the ``ImagePositionPatient``, ``ImageOrientationPatient`` or ``PixelSpacing`` of a frame, or None."""
    sequence, count = _GEOMETRY[keyword]
    per_frame = list(source.get(_PER_FRAME) or [])[frame : frame + 1]
    for group in (*per_frame, *list(source.get(_SHARED) or [])[:1], source):
        for holder in (*list(group.get(sequence) or [])[:1], group):
            value = holder.get(keyword)
            if value not in (None, ""):
                numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
                if numbers.shape == (count,) and np.isfinite(numbers).all():
                    return numbers
    return None


def place_of(source: pydicom.Dataset, frame: int = 0) -> float:
    """Return where an image (or a frame of it) lies along its normal, in mm."""
    orientation = geometry_value(source, "ImageOrientationPatient", frame)
    position = geometry_value(source, "ImagePositionPatient", frame)
    assert orientation is not None
    assert position is not None
    return float(np.cross(orientation[:3], orientation[3:]) @ position)


def difference(one: pydicom.Dataset, other: pydicom.Dataset) -> str | None:
    """Return what keeps two images from sharing one object (their orientation, say); None if nothing does."""
    for keyword, words in (
        ("StudyInstanceUID", "study"),
        ("SeriesInstanceUID", "series"),
        ("FrameOfReferenceUID", "frame of reference"),
        ("SOPClassUID", "kind of image"),
        ("Rows", "number of rows"),
        ("Columns", "number of columns"),
    ):
        if one.get(keyword) != other.get(keyword):
            return words
    for keyword, words, tolerance in (
        ("ImageOrientationPatient", "orientation", _SAME_DIRECTION),
        ("PixelSpacing", "pixel spacing", _SAME_PLACE),
    ):
        first, second = geometry_value(one, keyword), geometry_value(other, keyword)
        if first is None or second is None or not np.allclose(first, second, rtol=0, atol=tolerance):
            return words
    return (
        "being multi-frame: such an image stands for itself" if is_multi_frame(one) or is_multi_frame(other) else None
    )


def same_place(one: pydicom.Dataset, other: pydicom.Dataset) -> bool:
    """Return whether two images of one orientation lie at one place: echoes, or times of a dynamic series."""
    return abs(place_of(one) - place_of(other)) < _SAME_PLACE


class VolumeSplitter:
    """Divide images, one after another, into what makes up one volume each.

    That is one series, size, orientation and spacing, each image at its own place. The localisers of a series, which
    look along three axes, are three volumes; so are three images at one place (echoes, times of a dynamic series). A
    multi-frame image stands for itself, however often it comes.
    """

    def __init__(self) -> None:
        self.firsts: list[pydicom.Dataset] = []
        self._places: list[set[int]] = []

    def volume_of(self, source: pydicom.Dataset) -> int:
        """Return the index of an image's volume, a new one if it fits in none; its first image is in ``firsts``."""
        multi_frame = is_multi_frame(source)
        place = 0 if multi_frame else round(place_of(source) / _SAME_PLACE)
        for index, (first, places) in enumerate(zip(self.firsts, self._places, strict=True)):
            if multi_frame and first.SOPInstanceUID == source.SOPInstanceUID:
                return index
            # places a micrometre off may be one place that was rounded twice
            if difference(first, source) is None and not {place - 1, place, place + 1} & places:
                places.add(place)
                return index
        self.firsts.append(source)
        self._places.append({place})
        return len(self.firsts) - 1


def split_series(sources: Sequence[pydicom.Dataset]) -> list[list[int]]:
    """Return which sources make up one volume each, as :class:`VolumeSplitter` divides them; each index occurs once."""
    splitter = VolumeSplitter()
    volumes: dict[int, list[int]] = {}
    for index, source in enumerate(sources):
        volumes.setdefault(splitter.volume_of(source), []).append(index)
    return list(volumes.values())


def _check(header: pydicom.Dataset) -> None:
    """Raise an input error unless an image has what an object that refers to it needs."""
    missing = [keyword for keyword in (*_UIDS, *_SIZE) if header.get(keyword) in (None, "")]
    missing += [keyword for keyword in _GEOMETRY if geometry_value(header, keyword) is None]
    name = name_of(header)
    if missing:
        raise InputError(name, f"lacks what a DICOM object needs to refer to it ({', '.join(missing)})", _REMEDY)
    for keyword in _UIDS:
        if not UID(header[keyword].value).is_valid:
            raise InputError(name, f"has a {keyword} that is no UID ({header[keyword].value!r})", _REMEDY)
    spacing, orientation = geometry_value(header, "PixelSpacing"), geometry_value(header, "ImageOrientationPatient")
    assert spacing is not None
    assert orientation is not None
    if (spacing <= 0).any():
        raise InputError(name, f"has a pixel spacing of {spacing.tolist()}", _REMEDY)
    axes = orientation.reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        raise InputError(name, f"has an orientation whose axes are not at right angles ({axes.tolist()})", _REMEDY)
    if frame_count(header) > 1:
        _check_frames(header)


def _check_frames(header: pydicom.Dataset) -> None:
    name, frames = name_of(header), range(frame_count(header))
    groups = list(header.get(_PER_FRAME) or [])
    if len(groups) != len(frames):
        raise InputError(name, f"has {len(frames)} frames without a place of their own each", _REMEDY)
    shared = header[_SHARED][0]
    for sequence, words in (("PlaneOrientationSequence", "orientation"), ("PixelMeasuresSequence", "pixel spacing")):
        if sequence not in shared:
            raise InputError(name, f"has frames that differ in {words}", _REMEDY)
    if any(geometry_value(header, "ImagePositionPatient", frame) is None for frame in frames):
        raise InputError(name, "has frames without a place of their own (ImagePositionPatient)", _REMEDY)
    places = np.sort([place_of(header, frame) for frame in frames])
    if (np.diff(places) < _SAME_PLACE).any():
        raise InputError(name, "has several frames at one place", _REMEDY)


def _share(header: pydicom.Dataset) -> None:
    """Tell once for all frames the orientation and spacing that every frame repeats."""
    per_frame = list(header.get(_PER_FRAME) or [])
    shared = pydicom.Dataset()
    shared.update(dict((list(header.get(_SHARED) or []) or [pydicom.Dataset()])[0].items()))
    for sequence, keyword in (
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
        ("PixelMeasuresSequence", "PixelSpacing"),
    ):
        if sequence in shared or not per_frame or any(not group.get(sequence) for group in per_frame):
            continue
        values = np.array([geometry_value(header, keyword, frame) for frame in range(len(per_frame))], dtype=np.float64)
        if np.allclose(values, values[0], rtol=0, atol=_SAME_DIRECTION):
            shared[sequence] = per_frame[0][sequence]
    header[_SHARED] = DataElement(tag_for_keyword(_SHARED) or 0, "SQ", [shared])


def _is_legal(keyword: str, value: Any) -> bool:
    """Return whether a value is one that its element may have; highdicom refuses others."""
    if value in (None, ""):
        return True
    if keyword == "PatientSex":
        return str(value) in ("M", "F", "O")
    kind = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}.get(keyword)
    try:
        return kind is None or kind(value) is not None
    except (ValueError, TypeError):
        return False
