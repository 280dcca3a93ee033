"""A series of slices whose tumours are known: oblique, anisotropic, rescaled slice by slice, files in no order.

It runs from another folder with nothing of the repository in reach but ``monai_bundle``: the code that predicts is the
bundle's own.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.ndimage import center_of_mass

from braintumor_ext import Predictor
from braintumor_ext.files import sha256_of
from braintumor_ext.visualize import save_overlay
from tests.conftest import REPOSITORY
from tests.deploy.conftest import Ran, run_app
from tests.deploy.dicom_series import (
    ALONG_COLUMN,
    ALONG_ROW,
    COLUMNS,
    GAP,
    NORMAL,
    ROWS,
    SPACING,
    Slice,
    write_series,
)
from tests.deploy.predictions import (
    assert_equal_to_predictor,
    groups_of,
    masks_by_image,
    positions_by_image,
    probabilities_of,
)

pytestmark = pytest.mark.deploy

NEOPLASM, ABNORMAL_STRUCTURE, BRAIN = "108369006", "49755003", "12738006"  # SNOMED CT


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Slice]:
    """The series."""
    return write_series(tmp_path_factory.mktemp("phantom series"))


@pytest.fixture(scope="module")
def predictions(slices, predictor) -> dict:
    """The predictor's predictions, with heat maps, by image."""
    found = predictor([s.path for s in slices], explain="gradcam")
    return {s.uid: prediction for s, prediction in zip(slices, found, strict=True)}


@pytest.fixture(scope="module")
def ran(slices, packed_bundle, tmp_path_factory) -> Ran:
    """The run."""
    alone, elsewhere = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(REPOSITORY / "monai_bundle", alone / "monai_bundle")
    return run_app(
        slices[0].path.parent,
        elsewhere / "out",
        packed_bundle,
        cwd=elsewhere,
        environment={"PYTHONPATH": str(alone)},
    )


def test_it_ends_well_and_says_what_it_found(ran):
    assert ran.process.returncode == 0, ran.process.stderr
    assert f"Written to {ran.output}" in ran.process.stderr
    assert "Traceback" not in ran.process.stderr
    assert "Phantom^Ann" not in ran.process.stdout + ran.process.stderr
    written = {path.relative_to(ran.output).as_posix() for path in ran.output.rglob("*") if path.is_file()}
    series = ran.series()
    overlays = {row["overlay"] for row in series["slices"]}
    assert written == {"predictions.json", series["segmentation"], series["report"], *overlays}
    assert len(overlays) == 5


def test_slices_stand_in_the_order_of_their_places(ran, slices):
    assert [row["sop_instance_uid"] for row in ran.series()["slices"]] == [s.uid for s in slices]
    assert [row["file"] for row in ran.series()["slices"]] == [s.path.name for s in slices]
    assert [row["file"] for row in ran.series()["slices"]] != sorted(s.path.name for s in slices)


def test_every_prediction_is_the_predictors(ran, predictions):
    assert_equal_to_predictor(ran, predictions)


def test_the_masks_lie_on_the_squares(ran, slices):
    masks = masks_by_image(ran.segmentation())
    for s in slices:
        overlap = (masks[s.uid] & s.square).sum() / (masks[s.uid] | s.square).sum()
        assert overlap > 0.5, f"{s.path.name}: {overlap}"
        for other in (masks[s.uid][::-1], masks[s.uid][:, ::-1]):
            assert (other & s.square).sum() / (other | s.square).sum() < overlap / 2


# --- the segmentation's geometry


def test_each_frame_lies_where_its_image_does(ran, slices):
    segmentation = ran.segmentation()
    positions = positions_by_image(segmentation)
    assert positions.keys() == {s.uid for s in slices}
    for s in slices:
        np.testing.assert_allclose(positions[s.uid], s.position, atol=1e-6)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, SPACING)
    np.testing.assert_allclose(
        shared.PlaneOrientationSequence[0].ImageOrientationPatient, [*ALONG_ROW, *ALONG_COLUMN], atol=1e-8
    )
    assert (segmentation.Rows, segmentation.Columns) == (ROWS, COLUMNS)


def test_the_tumour_lies_at_the_squares_place_in_the_patient(ran, slices):
    """By highdicom's reading of the geometry against the place that the square was drawn at."""
    volume = ran.segmentation().get_volume(combine_segments=True)
    for index, s in enumerate(slices):
        row, column = center_of_mass(s.square)
        wanted = s.position + ALONG_ROW * column * SPACING[1] + ALONG_COLUMN * row * SPACING[0]
        planes = [volume.array[k] for k in range(volume.spatial_shape[0])]
        at = int(np.argmin([np.linalg.norm(_place(volume, k) - s.position) for k in range(len(planes))]))
        found = volume.affine @ np.array([at, *center_of_mass(planes[at]), 1.0])
        assert np.linalg.norm(found[:3] - wanted) < 2.0, f"slice {index}"


def _place(volume, plane: int) -> np.ndarray:
    return (volume.affine @ np.array([plane, 0, 0, 1.0]))[:3]


def test_the_gap_between_slices_is_the_series_own(ran):
    volume = ran.segmentation().get_volume(combine_segments=True)
    assert volume.spacing[0] == pytest.approx(GAP, abs=1e-4)
    assert abs(np.dot(volume.unit_vectors()[0], NORMAL)) == pytest.approx(1, abs=1e-6)


# --- what the objects say of themselves


def test_segmentation_and_report_belong_to_the_images_study_and_patient(ran, slices):
    source = pydicom.dcmread(slices[0].path)
    segmentation, report = ran.segmentation(), ran.report()
    for made in (segmentation, report):
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
            assert made[keyword].value == source[keyword].value, keyword
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert (segmentation.Modality, report.Modality) == ("SEG", "SR")
    referenced = {
        str(r.ReferencedSOPInstanceUID) for r in segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {s.uid for s in slices}


def test_the_segment_is_coded_and_tells_the_algorithm(ran, packed_bundle):
    (segment,) = ran.segmentation().SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == NEOPLASM
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == ABNORMAL_STRUCTURE
    assert segment.AnatomicRegionSequence[0].CodeValue == BRAIN
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    family = algorithm.AlgorithmFamilyCodeSequence[0]
    assert (family.CodingSchemeDesignator, family.CodeMeaning) == ("DCM", "Artificial Intelligence")
    told = ran.table["model"]["algorithm"]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (told["name"], told["version"])
    assert told["sha256"] == sha256_of(packed_bundle / "models" / "model.pt")
    assert told["sha256"] in algorithm.AlgorithmParameters


def test_the_report_tells_the_series_and_refers_to_the_segmentation(ran, predictions):
    groups = groups_of(ran.report())
    (series,) = [group for group in groups if group["name"] == "series"]
    told = ran.series()["prediction"]
    assert probabilities_of(series) == pytest.approx(list(told["probabilities"].values()), abs=1e-4)
    resting = [list(predictions.values())[index].probabilities for index in told["rests_on"]]
    mean = [np.mean([p[name] for p in resting]) for name in told["probabilities"]]
    assert probabilities_of(series) == pytest.approx(mean, abs=1e-4)
    assert series["finding"] is not None
    (segment,) = [group for group in groups if group["segments"]]
    assert segment["segments"] == [str(ran.segmentation().SOPInstanceUID)]
    assert len(groups) == 2 + len(predictions)


def test_areas_are_in_square_millimetres(ran):
    areas = {group["images"][0]: group["numbers"]["Area"] for group in groups_of(ran.report()) if group["images"]}
    for row in ran.series()["slices"]:
        assert row["area_mm2"] == pytest.approx(row["area_px"] * SPACING[0] * SPACING[1], abs=1e-3)
        assert areas[row["sop_instance_uid"]] == pytest.approx(row["area_mm2"], abs=1e-2)


def test_overlays_show_the_heat_map_and_the_outline(ran, slices, predictions, tmp_path):
    for row, s in zip(ran.series()["slices"], slices, strict=True):
        prediction = predictions[s.uid]
        assert prediction.heat_map is not None
        wanted = _overlay(prediction, s, tmp_path / "wanted.png")
        found = np.asarray(Image.open(ran.output / row["overlay"]), dtype=int)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).mean() < 0.5


def _overlay(prediction, s: Slice, path: Path) -> np.ndarray:
    save_overlay(replace(prediction, source=s.path.name), path)
    return np.asarray(Image.open(path), dtype=int)


def test_the_calibration_is_the_bundles(ran, predictor: Predictor):
    assert ran.table["model"]["calibration"].startswith("temperature 1.7")
    assert all(row["calibrated"] for row in ran.series()["slices"])
