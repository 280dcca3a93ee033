"""Masks of a series as a DICOM segmentation (SEG)."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from braintumor_ext.dicom_output.algorithm import RESEARCH_ONLY, Algorithm, names_unsaid, of_new_series
from braintumor_ext.dicom_output.sources import checked_sources, chosen_frames, geometry

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
    places = None
    if wanted is not None:
        positions = [geometry(headers[0], "ImagePositionPatient", frame).tolist() for frame in wanted]
        places = [hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, place) for place in positions]
    with names_unsaid():
        return hd.seg.Segmentation(
            source_images=headers,
            pixel_array=masks,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(algorithm)],
            plane_positions=places,
            omit_empty_frames=False,
            content_label="TUMOUR",
            content_description=RESEARCH_ONLY,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **of_new_series(headers[0], 1, "Tumour masks", algorithm),
        )


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
