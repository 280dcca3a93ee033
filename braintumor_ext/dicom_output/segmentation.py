"""Masks of a series as a DICOM segmentation (SEG)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from braintumor_ext.dicom_output.algorithm import RESEARCH_ONLY, Algorithm
from braintumor_ext.dicom_output.file import UTF8, names_unsaid
from braintumor_ext.dicom_output.sources import (
    difference,
    frame_count,
    geometry_value,
    is_multi_frame,
    name_of,
    place_of,
    same_place,
    source_header,
)
from braintumor_ext.errors import InputError

SEGMENT_LABEL = "Tumour"
_COLOUR = (230, 40, 40)


def tumour_segmentation(
    sources: Sequence[pydicom.Dataset],
    masks: np.ndarray,
    *,
    algorithm: Algorithm,
    frames: Sequence[int] | None = None,
) -> hd.seg.Segmentation:
    """Return the tumour masks of a series as a DICOM segmentation: binary, one segment, in the series's own geometry.

    Each mask has a frame, an empty one too: that no tumour was found is told apart from an image that was not looked
    at. The segment is coded as SNOMED's neoplasm (108369006), a morphologically abnormal structure (49755003), in the
    brain (12738006): PS3.16, CID 7159 and 7150; the class of the tumour is a matter of the report.

    Args:
        sources: the images of one series and orientation, in any order; or a single multi-frame image. The headers
            alone will do.
        masks: (N, rows, columns) bool, as the images are stored; the first for the first source (or frame).
        algorithm: what found the masks.
        frames: 0-based frames of a multi-frame image that the masks are for; None for all.

    Returns:
        The object, of a new series of the sources' study, with a new UID.

    Raises:
        InputError: a source lacks UIDs or geometry, or the sources do not make up one volume (see
            :func:`~braintumor_ext.dicom_output.split_series`); names the file and what is wrong.
        ValueError: the masks have another number or size than the sources.
    """
    headers = checked_sources(sources)
    wanted = chosen_frames(headers[0], frames)
    masks = np.asarray(masks, dtype=bool)
    shape = (len(wanted) if wanted is not None else len(headers), headers[0].Rows, headers[0].Columns)
    if masks.shape != shape:
        raise ValueError(f"masks of shape {masks.shape} do not fit the sources, whose shape is {shape}")
    with names_unsaid():
        return hd.seg.Segmentation(
            source_images=headers,
            pixel_array=masks,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(algorithm)],
            plane_positions=None if wanted is None else [_position(headers[0], frame) for frame in wanted],
            omit_empty_frames=False,
            series_instance_uid=hd.UID(),
            series_number=derived_series_number(headers[0], 1),
            series_description=f"Tumour masks. {RESEARCH_ONLY}",
            sop_instance_uid=hd.UID(),
            instance_number=1,
            content_label="TUMOUR",
            content_description=RESEARCH_ONLY,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            specific_character_set=UTF8,
            **algorithm.equipment,
        )


def checked_sources(sources: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Return the headers of sources that make up one volume.

    Raises:
        InputError: they do not, or one of them lacks UIDs or geometry.
    """
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
    ordered = sorted(headers, key=place_of)
    for one, other in pairwise(ordered):
        if same_place(one, other):
            raise InputError(name_of(other), f"lies at the place of {name_of(one)}", "Give one volume at a time")
    return headers


def derived_series_number(source: pydicom.Dataset, offset: int) -> int:
    """Return the number of a series derived from a source's: 401 gives 40101 for the offset 1."""
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return 100 * number + offset if 0 < number < 10_000_000 else offset


def chosen_frames(header: pydicom.Dataset, frames: Sequence[int] | None) -> list[int] | None:
    """Return the frames of a multi-frame image that are meant; None for an image of one frame that holds no groups."""
    if not is_multi_frame(header):
        return None
    count = frame_count(header)
    wanted = list(range(count)) if frames is None else [int(frame) for frame in frames]
    if bad := [frame for frame in wanted if not 0 <= frame < count]:
        raise ValueError(f"{name_of(header)} has no frame {bad[0]}: valid are 0 to {count - 1}")
    return wanted


def _position(header: pydicom.Dataset, frame: int) -> hd.PlanePositionSequence:
    position = geometry_value(header, "ImagePositionPatient", frame)
    assert position is not None
    return hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, position.tolist())


def _segment(algorithm: Algorithm) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=SEGMENT_LABEL,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm.identification(),
        tracking_id=SEGMENT_LABEL,
        tracking_uid=hd.UID(),
        anatomic_regions=[codes.SCT.Brain],
        display_color=hd.color.CIELabColor.from_rgb(*_COLOUR),
    )
