"""Predictions about a series as a DICOM structured report (SR)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import highdicom as hd
import pydicom
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from braintumor_ext.classes import CLASSES, Classes, display_name
from braintumor_ext.dicom_output.algorithm import RESEARCH_ONLY, Algorithm, names_unsaid, of_new_series
from braintumor_ext.dicom_output.sources import checked_sources, chosen_frames, geometry, is_multi_frame
from braintumor_ext.prediction import NOT_CALIBRATED, Prediction
from braintumor_ext.series_prediction import SeriesPrediction, series_prediction

SCHEME = "99BTMRI"
"""The private coding scheme of what has no standard code."""

CLASS_CODES = {
    "glioma": Code("393564001", "SCT", "Glioma"),
    "meningioma": Code("302820008", "SCT", "Intracranial meningioma"),
    "pituitary": Code("127024001", "SCT", "Neoplasm of pituitary gland"),
}
"""SNOMED CT codes of the tumour classes; other classes have a private code."""

_BRAIN_MRI = codes.LN.BrainMRI
_SLICES_UNIT = Code("{slices}", "UCUM", "slices")
_SERIES = "series"


def prediction_report(
    sources: Sequence[pydicom.Dataset],
    predictions: Sequence[Prediction],
    *,
    algorithm: Algorithm,
    classes: Classes = CLASSES,
    segmentation: pydicom.Dataset | None = None,
    frames: Sequence[int] | None = None,
) -> hd.sr.ComprehensiveSR:
    """Return the predictions about a series as a DICOM structured report (TID 1500, Comprehensive SR), unverified.

    One measurement group for the series, tracked as ``series`` (see
    :func:`~braintumor_ext.series_prediction`), one for each slice, and one that refers to the segmentation if
    there is one. Series and slices have the class as finding, each class's probability, and flags as comments; slices
    have the mask's area in mm2. The observer is the algorithm.

    Args:
        sources: as for :func:`~braintumor_ext.dicom_output.tumour_segmentation`.
        predictions: the first for the first source (or frame). One with an error has a comment in place of a finding.
        algorithm: what gave the predictions.
        segmentation: the predictions' masks, whose segment is referred to.
        frames: 0-based frames of a multi-frame image that the predictions are about; None for all.

    Raises:
        InputError: as for :func:`~braintumor_ext.dicom_output.tumour_segmentation`.
        ValueError: there are not as many predictions as sources or frames.
    """
    headers = checked_sources(sources)
    wanted = chosen_frames(headers[0], frames)
    count = len(headers) if wanted is None else len(wanted)
    if len(predictions) != count:
        raise ValueError(f"{len(predictions)} predictions do not fit {count} slices")
    groups: list[Any] = [_series_group(series_prediction(predictions, classes), algorithm)]
    if segmentation is not None:
        groups.append(_segment_group(headers, segmentation, algorithm))
    for position, prediction in enumerate(predictions):
        source, frame = (headers[position], None) if wanted is None else (headers[0], wanted[position])
        groups.append(_slice_group(source, frame, position, prediction))
    content = hd.sr.MeasurementReport(
        observation_context=_observer(algorithm),
        procedure_reported=_BRAIN_MRI,
        imaging_measurements=groups,
        referenced_images=headers if all(_fits_the_library(header) for header in headers) else None,
    )
    with names_unsaid():
        return hd.sr.ComprehensiveSR(
            evidence=[*headers, *([] if segmentation is None else [segmentation])],
            content=content,
            is_complete=True,
            coding_schemes=[CodingSchemeIdentificationItem(designator=SCHEME, name="braintumor-ext")],
            **of_new_series(headers[0], 2, "Brain tumour predictions", algorithm),
        )


def class_code(name: str) -> Code:
    """Return the code of a class: SNOMED CT's if it is a known tumour, else a private one."""
    return CLASS_CODES.get(name) or private_code(name, display_name(name).capitalize())


def probability_code(name: str) -> Code:
    """Return the private code of a class's probability, e.g. ``P_GLIOMA``."""
    return private_code(f"p_{name}", f"Probability of {display_name(name)}")


def private_code(value: str, meaning: str) -> Code:
    """Return a code of this project's scheme: the value in capitals, words joined by underscores."""
    return Code(re.sub(r"[^A-Z0-9]+", "_", value.upper()), SCHEME, meaning[:64])


def _fits_the_library(header: pydicom.Dataset) -> bool:
    """Return whether highdicom can describe an image in the image library, which a report may do without.

    It reads the geometry where an image of one frame has it, and takes no unknown thickness. The groups refer to the
    images all the same.
    """
    return not is_multi_frame(header) and "Modality" in header and header.get("SliceThickness") is not None


def _observer(algorithm: Algorithm) -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        # the same for the same name, version and checkpoint
        uid=generate_uid(entropy_srcs=[algorithm.name, algorithm.version, algorithm.sha256 or ""]),
        name=algorithm.name,
        manufacturer_name=algorithm.manufacturer,
        model_name=algorithm.version,
        serial_number=algorithm.sha256,
    )
    return hd.sr.ObservationContext(hd.sr.ObserverContext(codes.DCM.Device, device))


def _series_group(prediction: SeriesPrediction, algorithm: Algorithm) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    counts = {
        private_code("slices", "Slices predicted"): prediction.slices,
        private_code("tumour_slices", "Slices whose class and mask both show a tumour"): prediction.tumour_slices,
        private_code("disagreeing", "Slices whose class and mask disagree"): prediction.disagreeing,
        **{
            private_code(f"n_{name}", f"Slices of class {display_name(name)}"): count
            for name, count in prediction.class_counts.items()
        },
    }
    comments = [RESEARCH_ONLY]
    if prediction.label is None:
        comments.append("No slice could be predicted")
    else:
        both = "class and mask both show a tumour"
        comments.append(
            f"Rests on the {prediction.tumour_slices} slices whose {both}"
            if prediction.tumour_slices
            else f"Rests on all {prediction.slices} slices: in none do {both}"
        )
        comments.append("Probabilities are means over these slices, not the probability of the series")
    comments += [f"{flag}: {count} slices" for flag, count in prediction.flags.items()]
    if prediction.failed:
        comments.append(f"Not predicted: {prediction.failed} slices")
    measurements = [hd.sr.Measurement(name, count, _SLICES_UNIT) for name, count in counts.items()]
    return _group(_SERIES, prediction, measurements, comments, algorithm=algorithm.content())


def _slice_group(
    source: pydicom.Dataset, frame: int | None, position: int, prediction: Prediction
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    measurements = []
    if prediction.mask is not None:
        spacing = geometry(source, "PixelSpacing", frame or 0)
        area = round(float(prediction.mask.sum() * spacing[0] * spacing[1]), 3)
        measurements.append(hd.sr.Measurement(codes.SCT.Area, area, codes.UCUM.SquareMillimeter))
    comments = [f"Not predicted: {prediction.error}"] if prediction.error else list(prediction.flags)
    image = hd.sr.SourceImageForMeasurementGroup(
        source.SOPClassUID, source.SOPInstanceUID, None if frame is None else [frame + 1]
    )
    return _group(_slice_name(source, frame, position), prediction, measurements, comments, images=[image])


def _slice_name(source: pydicom.Dataset, frame: int | None, position: int) -> str:
    if frame is not None:
        return f"frame {frame + 1}"
    number = source.get("InstanceNumber")
    return f"image {number}" if number not in (None, "") else f"image {position + 1} of the input"


def _group(
    identifier: str,
    prediction: Prediction | SeriesPrediction,
    measurements: list[hd.sr.Measurement],
    comments: list[str],
    images: list[hd.sr.SourceImageForMeasurementGroup] | None = None,
    algorithm: hd.sr.AlgorithmIdentification | None = None,
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    if prediction.label is not None and not prediction.calibrated:
        comments = [*comments, f"Probabilities: {NOT_CALIBRATED}"]
    shares = [
        hd.sr.Measurement(probability_code(name), round(share, 6), codes.UCUM.NoUnits)
        for name, share in (prediction.probabilities or {}).items()
    ]
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(hd.UID(), identifier),
        finding_type=None if prediction.label is None else class_code(prediction.label),
        finding_sites=[hd.sr.FindingSite(codes.SCT.Brain)],
        algorithm_id=algorithm,
        measurements=[*shares, *measurements],
        source_images=images,
    )
    for comment in comments:
        group[0].ContentSequence.append(
            hd.sr.TextContentItem(
                name=codes.DCM.Comment,
                value=comment,
                relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
            )
        )
    return group


def _segment_group(
    headers: Sequence[pydicom.Dataset], segmentation: pydicom.Dataset, algorithm: Algorithm
) -> hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    segment = segmentation.SegmentSequence[0]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(segment.TrackingUID, segment.TrackingID),
        referenced_segment=hd.sr.ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            int(segment.SegmentNumber),
            source_series=hd.sr.SourceSeriesForSegmentation(headers[0].SeriesInstanceUID),
        ),
        finding_type=codes.SCT.Neoplasm,
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_sites=[hd.sr.FindingSite(codes.SCT.Brain)],
        algorithm_id=algorithm.content(),
    )
