"""A structured report says what the predictions say, in codes."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from braintumor_ext.classes import CLASSES
from braintumor_ext.dicom_output import prediction_report, tumour_segmentation, write_dicom
from braintumor_ext.prediction import Prediction
from tests.dicom_output.test_segmentation import ALGORITHM, masks, multi_frame, series
from tests.one_slice import COLUMN_MM, ROW_MM

SHARES = [[0.7, 0.1, 0.15, 0.05], [0.2, 0.6, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]]


def prediction(shares: list[float], mask: np.ndarray, **more: object) -> Prediction:
    best = int(np.argmax(shares))
    named = dict(zip(CLASSES, shares, strict=True))
    return Prediction("slice", CLASSES[best], best, named, mask, **more)


def text_of(node: pydicom.Dataset) -> list[str]:
    found = [str(node.TextValue)] if "TextValue" in node else []
    return found + [text for item in node.get("ContentSequence", []) for text in text_of(item)]


def groups_of(report: pydicom.Dataset) -> list[pydicom.Dataset]:
    (measurements,) = [
        item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    return list(measurements.ContentSequence)


def numbers_of(group: pydicom.Dataset) -> dict[str, float]:
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(item.MeasuredValueSequence[0].NumericValue)
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def finding_of(group: pydicom.Dataset) -> str | None:
    for item in group.ContentSequence:
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeMeaning == "Finding":
            return str(item.ConceptCodeSequence[0].CodeValue)
    return None


@pytest.fixture
def report(tmp_path: Path) -> pydicom.Dataset:
    """The report on three slices: a glioma, a meningioma with a flag, nothing; the fourth could not be predicted."""
    sources, found = series(tmp_path, 4), masks(4)
    found[2:] = False
    predictions = [
        prediction(SHARES[0], found[0], calibrated=True),
        prediction(SHARES[1], found[1], flags=("low confidence",), calibrated=True),
        prediction(SHARES[2], found[2], calibrated=True),
        Prediction("slice", error="is blank"),
    ]
    seg = tumour_segmentation(sources, found, algorithm=ALGORITHM)
    write_dicom(prediction_report(sources, predictions, algorithm=ALGORITHM, segmentation=seg), tmp_path / "sr.dcm")
    hd.sr.srread(tmp_path / "sr.dcm")  # highdicom checks the template as it reads
    return pydicom.dcmread(tmp_path / "sr.dcm")


def test_each_slice_has_its_class_and_probabilities(report):
    by_name = {text_of(group)[0]: group for group in groups_of(report)}
    for number, (code, shares) in enumerate(zip(("393564001", "302820008", "NO_TUMOR"), SHARES, strict=True), start=1):
        group = by_name[f"image {number}"]
        assert finding_of(group) == code
        numbers = numbers_of(group)
        assert [numbers[name] for name in numbers if name.startswith("Probability of")] == pytest.approx(shares)
    assert numbers_of(by_name["image 1"])["Area"] == pytest.approx(masks(4)[0].sum() * ROW_MM * COLUMN_MM, abs=1e-3)
    assert "low confidence" in text_of(by_name["image 2"])
    assert finding_of(by_name["image 4"]) is None
    assert any("is blank" in text for text in text_of(by_name["image 4"]))


def test_the_series_rests_on_the_slices_whose_class_and_mask_agree(report):
    (group,) = [group for group in groups_of(report) if text_of(group)[0] == "series"]
    numbers = numbers_of(group)
    # sums over the two tumour slices: glioma 0.9, meningioma 0.7, pituitary 0.25
    assert finding_of(group) == "393564001"
    assert numbers["Probability of glioma"] == pytest.approx(0.45)
    assert numbers["Probability of meningioma"] == pytest.approx(0.35)
    assert numbers["Slices predicted"] == 3
    assert any("Not predicted: 1" in text for text in text_of(group))
    assert any("esearch" in text for text in text_of(group))


def test_it_refers_to_images_segmentation_and_algorithm(report, tmp_path):
    referred = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for group in groups_of(report)
        for item in group.ContentSequence
        if item.ValueType == "IMAGE"
    }
    images = {pydicom.dcmread(path).SOPInstanceUID for path in tmp_path.glob("slice*.dcm")}
    assert images <= referred
    assert len(referred - images) == 1  # the segmentation
    told = " ".join(text_of(report))
    assert "Brain tumours" in told
    assert "1.2.3" in told
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.Modality == "SR"


def test_uncalibrated_probabilities_say_so(tmp_path):
    report = prediction_report(series(tmp_path, 1), [prediction(SHARES[0], masks(1)[0])], algorithm=ALGORITHM)
    assert "Probabilities: not calibrated" in text_of(report)


def test_as_many_predictions_as_slices_are_needed(tmp_path):
    with pytest.raises(ValueError, match="1 predictions do not fit 2 slices"):
        prediction_report(series(tmp_path, 2), [prediction(SHARES[0], masks(1)[0])], algorithm=ALGORITHM)


@pytest.mark.parametrize("keyword", ["SliceThickness", "Modality"])
def test_an_image_that_tells_less_of_itself_is_reported_all_the_same(keyword, tmp_path):
    sources = series(tmp_path, 2)
    for source in sources:
        if keyword in source:
            del source[keyword]
    predictions = [prediction(SHARES[0], mask) for mask in masks(2)]
    write_dicom(prediction_report(sources, predictions, algorithm=ALGORITHM), tmp_path / "sr.dcm")
    found = hd.sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()
    referred = [image.referenced_sop_instance_uid for group in found for image in group.source_images]
    assert referred == [source.SOPInstanceUID for source in sources]


def test_a_multi_frame_image_is_referred_to_by_its_frames(tmp_path):
    source = multi_frame(4)
    predictions = [prediction(SHARES[0], mask) for mask in masks(2)]
    write_dicom(prediction_report([source], predictions, algorithm=ALGORITHM, frames=[3, 1]), tmp_path / "sr.dcm")
    found = hd.sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()
    images = [image for group in found for image in group.source_images]
    assert [image.referenced_frame_numbers for image in images] == [[4], [2]]
    assert {image.referenced_sop_instance_uid for image in images} == {source.SOPInstanceUID}
