"""The images that a DICOM object refers to: what they must hold, and which of them make up one volume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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
from braintumor_ext.transforms.dicom_header import PER_FRAME, SHARED, frame_count, frame_numbers

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_SIZE = ("Rows", "Columns")
_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
# What DICOM lets stand empty, but not be absent (type 2): de-identified files often lack it.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "SliceThickness"),
)
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
    if frame_count(header) > 1 or SHARED in header:
        _share(header)
    _check(header)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header or not _is_legal(keyword, header[keyword].value):
            header[keyword] = DataElement(tag_for_keyword(keyword) or 0, dictionary_VR(keyword), None)
    return header


def name_of(source: pydicom.Dataset) -> str:
    """Return what a person knows an image by: its file, else its UID."""
    return str(getattr(source, "filename", None) or source.get("SOPInstanceUID", "a DICOM image"))


def is_multi_frame(source: pydicom.Dataset) -> bool:
    """Return whether a header's frames, one or many, have a geometry of their own each."""
    return SHARED in source


def geometry(source: pydicom.Dataset, keyword: str, frame: int = 0) -> np.ndarray:
    """Return :func:`~braintumor_ext.transforms.dicom_header.frame_numbers` of a source that was found to have them."""
    numbers = frame_numbers(source, keyword, frame)
    assert numbers is not None
    return numbers


def place_of(source: pydicom.Dataset, frame: int = 0) -> float:
    """Return where an image (or a frame of it) lies along its normal, in mm."""
    orientation = geometry(source, "ImageOrientationPatient", frame)
    position = geometry(source, "ImagePositionPatient", frame)
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
        if not np.allclose(geometry(one, keyword), geometry(other, keyword), rtol=0, atol=tolerance):
            return words
    multi_frame = is_multi_frame(one) or is_multi_frame(other)
    return "being multi-frame: such an image stands for itself" if multi_frame else None


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


def checked_sources(sources: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Return the headers of sources that make up one volume; an `InputError` says why they do not."""
    if not sources:
        raise ValueError("at least one source is needed")
    headers = [source_header(source) for source in sources]
    first = headers[0]
    uids: dict[str, pydicom.Dataset] = {}
    for header in headers:
        same = uids.setdefault(str(header.SOPInstanceUID), header)
        if same is not header:
            raise InputError(
                name_of(header), f"has the SOPInstanceUID of {name_of(same)} ({header.SOPInstanceUID})", "Leave one out"
            )
    for header in headers[1:]:
        if what := difference(first, header):
            raise InputError(name_of(header), f"differs from {name_of(first)} in {what}", "Give one volume at a time")
        # Cosines that differ by rounding alone count as one orientation, which highdicom wants to be the same.
        header["ImageOrientationPatient"] = DataElement(
            header["ImageOrientationPatient"].tag, "DS", first.ImageOrientationPatient
        )
    for one, other in pairwise(sorted(headers, key=place_of)):
        if same_place(one, other):
            raise InputError(name_of(other), f"lies at the place of {name_of(one)}", "Give one volume at a time")
    return headers


def chosen_frames(header: pydicom.Dataset, frames: Sequence[int] | None) -> list[int] | None:
    """Return the frames of a multi-frame image that are meant; None for an image of one frame that holds no groups."""
    if not is_multi_frame(header):
        return None
    count = frame_count(header)
    wanted = list(range(count)) if frames is None else [int(frame) for frame in frames]
    if bad := [frame for frame in wanted if not 0 <= frame < count]:
        raise ValueError(f"{name_of(header)} has no frame {bad[0]}: valid are 0 to {count - 1}")
    return wanted


def _check(header: pydicom.Dataset) -> None:
    """Raise an input error unless an image has what an object that refers to it needs."""
    missing = [keyword for keyword in (*_UIDS, *_SIZE) if header.get(keyword) in (None, "")]
    missing += [keyword for keyword in _GEOMETRY if frame_numbers(header, keyword) is None]
    name = name_of(header)
    if missing:
        raise InputError(name, f"lacks what a DICOM object needs to refer to it ({', '.join(missing)})", _REMEDY)
    for keyword in _UIDS:
        if not UID(header[keyword].value).is_valid:
            raise InputError(name, f"has a {keyword} that is no UID ({header[keyword].value!r})", _REMEDY)
    if ((spacing := geometry(header, "PixelSpacing")) <= 0).any():
        raise InputError(name, f"has a pixel spacing of {spacing.tolist()}", _REMEDY)
    axes = geometry(header, "ImageOrientationPatient").reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        raise InputError(name, f"has an orientation whose axes are not at right angles ({axes.tolist()})", _REMEDY)
    if frame_count(header) > 1:
        _check_frames(header)


def _check_frames(header: pydicom.Dataset) -> None:
    name, frames = name_of(header), range(frame_count(header))
    groups = list(header.get(PER_FRAME) or [])
    if len(groups) != len(frames):
        raise InputError(name, f"has {len(frames)} frames without a place of their own each", _REMEDY)
    shared = header[SHARED][0]
    for sequence, words in (("PlaneOrientationSequence", "orientation"), ("PixelMeasuresSequence", "pixel spacing")):
        if sequence not in shared:
            raise InputError(name, f"has frames that differ in {words}", _REMEDY)
    if any(frame_numbers(header, "ImagePositionPatient", frame) is None for frame in frames):
        raise InputError(name, "has frames without a place of their own (ImagePositionPatient)", _REMEDY)
    places = np.sort([place_of(header, frame) for frame in frames])
    if (np.diff(places) < _SAME_PLACE).any():
        raise InputError(name, "has several frames at one place", _REMEDY)


def _share(header: pydicom.Dataset) -> None:
    """Tell once for all frames the orientation and spacing that every frame repeats."""
    per_frame = list(header.get(PER_FRAME) or [])
    shared = pydicom.Dataset()
    shared.update(dict((list(header.get(SHARED) or []) or [pydicom.Dataset()])[0].items()))
    for sequence, keyword in (
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
        ("PixelMeasuresSequence", "PixelSpacing"),
    ):
        if sequence in shared or not per_frame or any(not group.get(sequence) for group in per_frame):
            continue
        values = np.array([frame_numbers(header, keyword, frame) for frame in range(len(per_frame))], dtype=np.float64)
        if np.allclose(values, values[0], rtol=0, atol=_SAME_DIRECTION):
            shared[sequence] = per_frame[0][sequence]
    header[SHARED] = DataElement(tag_for_keyword(SHARED) or 0, "SQ", [shared])


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
