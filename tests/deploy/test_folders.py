"""Folders as they come: several series, series of one slice, other kinds of images, other files."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, RLELossless

from tests.deploy.conftest import Ran, run_app
from tests.deploy.dicom_series import rewrite, set_pixels, write_series, write_slice
from tests.deploy.predictions import assert_equal_to_predictor, groups_of, masks_by_image

pytestmark = pytest.mark.deploy


def _series_uid(path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a run is given; the predicted series are a, negative, bytes, dynamic and padded."""
    root = tmp_path_factory.mktemp("folder")
    write_series(root / "a", 3, SeriesNumber=1)
    negative = write_slice(root / "negative", SeriesDescription="negative", StudyDate="20260103")
    image = pydicom.dcmread(negative.path)
    image.PhotometricInterpretation = "MONOCHROME1"
    set_pixels(image, (4095 - image.pixel_array).astype(np.uint16))
    image.BitsStored, image.HighBit = 12, 11
    image.compress(RLELossless, generate_instance_uid=False)
    image.save_as(negative.path)
    eight_bit = write_slice(root / "bytes", RescaleSlope=None, RescaleIntercept=None)
    image = pydicom.dcmread(eight_bit.path)
    set_pixels(image, (image.pixel_array / 8).astype(np.uint8))
    image.save_as(eight_bit.path)
    dynamic = write_series(root / "dynamic", 3)
    rewrite(dynamic[2].path, ImagePositionPatient=list(dynamic[1].position))
    padded = write_series(root / "padded", 3)
    image = pydicom.dcmread(padded[2].path)
    set_pixels(image, np.zeros_like(image.pixel_array))
    image.save_as(padded[2].path)
    localizer = write_series(root / "localizer", 2, SeriesDescription="localizer")
    rewrite(localizer[1].path, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    write_series(root / "ct", 2, Modality="CT", SOPClassUID=CTImageStorage)
    write_slice(root / "enhanced", SOPClassUID=EnhancedMRImageStorage)
    (root / "notes.txt").write_text("no DICOM")
    (root / "empty").write_bytes(b"")
    shutil.copy(negative.path, root / "a" / ".hidden")  # the same image twice
    return root


@pytest.fixture(scope="module")
def ran(folder, packed_bundle, tmp_path_factory) -> Ran:
    """The run."""
    ran = run_app(folder, tmp_path_factory.mktemp("out"), packed_bundle)
    assert ran.process.returncode == 0, ran.process.stderr
    return ran


def _predictions(predictor, paths) -> dict:
    found = predictor([*paths])
    return {str(pydicom.dcmread(p).SOPInstanceUID): prediction for p, prediction in zip(paths, found, strict=True)}


@pytest.mark.parametrize("name", ["a", "negative", "bytes"])
def test_each_series_has_its_own_predictions(ran, folder, predictor, name):
    paths = sorted((folder / name).glob("*.dcm"), key=lambda p: -pydicom.dcmread(p).InstanceNumber)
    predictions = _predictions(predictor, paths)
    uid = _series_uid(paths[0])
    assert_equal_to_predictor(ran, predictions, uid)
    assert all(prediction.mask.any() for prediction in predictions.values())
    segmentation = ran.segmentation(uid)
    source = pydicom.dcmread(paths[0])
    assert segmentation.StudyInstanceUID == source.StudyInstanceUID
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID


def test_a_series_of_one_slice_has_its_geometry(ran, folder):
    (path,) = (folder / "negative").iterdir()
    source = pydicom.dcmread(path)
    segmentation = ran.segmentation(_series_uid(path))
    assert segmentation.NumberOfFrames == 1
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == list(source.PixelSpacing)
    frame = segmentation.PerFrameFunctionalGroupsSequence[0]
    assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == list(source.ImagePositionPatient)


def test_only_mr_stacks_are_predicted_and_the_rest_is_told(ran, folder):
    wanted = {_series_uid(next((folder / n).glob("*.dcm"))) for n in ("a", "negative", "bytes", "dynamic", "padded")}
    assert {series["series_instance_uid"] for series in ran.table["series"]} == wanted
    told = ran.process.stderr
    for name, why in (
        ("localizer", "has slices of several sizes, orientations or spacings"),
        ("ct", "CT (CT Image Storage)"),
        ("enhanced", "MR (Enhanced MR Image Storage)"),
    ):
        uid = _series_uid(next((folder / name).glob("*.dcm")))
        (line,) = [line for line in told.splitlines() if uid in line]
        assert "Passed over" in line
        assert why in line
    for name in ("notes.txt", "empty"):
        assert f"{folder / name} is no DICOM file" in told


def test_images_at_one_place_are_told(ran, folder):
    paths = list((folder / "dynamic").iterdir())
    uid = _series_uid(paths[0])
    assert f"Series {uid}: 1 of 3 images share their position with another and are left out" in ran.process.stderr
    assert len(ran.series(uid)["slices"]) == 2


def test_a_slice_without_content_costs_its_own_prediction(ran, folder, predictor):
    paths = list((folder / "padded").iterdir())
    series = ran.series(_series_uid(paths[0]))
    blank = series["slices"][2]
    assert "constant image" in blank["error"]
    assert (blank["label"], blank["probabilities"], blank["overlay"]) == (None, None, None)
    assert series["prediction"]["failed"] == 1
    assert f"{folder / 'padded' / blank['file'].rpartition('/')[2]}: constant image" in ran.process.stderr
    masks = masks_by_image(ran.segmentation(series["series_instance_uid"]))
    assert not masks[blank["sop_instance_uid"]].any()
    (group,) = [
        group
        for group in groups_of(ran.report(series["series_instance_uid"]))
        if group["images"] == [blank["sop_instance_uid"]]
    ]
    assert group["finding"] is None
    prediction = predictor(folder / series["slices"][0]["file"])
    assert list(series["slices"][0]["probabilities"].values()) == pytest.approx(
        list(prediction.probabilities.values()), abs=1e-4
    )
