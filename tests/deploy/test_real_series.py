"""Real DICOM slices of a head, 0.667 x 0.700 mm pixels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.deploy.conftest import Ran, run_app
from tests.deploy.dicom_series import rewrite
from tests.deploy.predictions import assert_equal_to_predictor, positions_by_image

pytestmark = [pytest.mark.deploy, pytest.mark.real_data]


def _predictions(predictor, paths: list[Path]) -> dict:
    found = predictor([*paths])
    return {str(pydicom.dcmread(p).SOPInstanceUID): prediction for p, prediction in zip(paths, found, strict=True)}


def _assert_geometry_is_the_sources(ran: Ran, paths: list[Path], uid: str | None = None) -> None:
    segmentation = ran.segmentation(uid)
    positions = positions_by_image(segmentation)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    for source in map(pydicom.dcmread, paths):
        np.testing.assert_allclose(positions[str(source.SOPInstanceUID)], source.ImagePositionPatient, atol=1e-6)
        np.testing.assert_allclose(
            shared.PlaneOrientationSequence[0].ImageOrientationPatient, source.ImageOrientationPatient, atol=1e-6
        )
        np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing, atol=1e-6)
        assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert (segmentation.Rows, segmentation.Columns) == (source.Rows, source.Columns)
    assert len(positions) == len(paths)


def test_a_whole_series(dicom_head, packed_bundle, predictor, tmp_path):
    ran = run_app(dicom_head, tmp_path / "out", packed_bundle)
    assert ran.process.returncode == 0, ran.process.stderr
    paths = sorted(dicom_head.glob("*.dcm"))
    predictions = _predictions(predictor, paths)
    assert len(predictions) == 32
    assert any(prediction.mask.any() for prediction in predictions.values())
    assert_equal_to_predictor(ran, predictions)
    _assert_geometry_is_the_sources(ran, paths)


def test_one_slice_and_several_series_beside_a_file_that_is_no_dicom(dicom_head, packed_bundle, predictor, tmp_path):
    paths = sorted(dicom_head.glob("*.dcm"))
    folder = tmp_path / "in"
    groups = {"one": paths[20:21], "few": paths[5:9]}
    uids = {}
    for name, chosen in groups.items():
        (folder / name).mkdir(parents=True)
        uids[name] = generate_uid()
        for path in chosen:
            rewrite(Path(shutil.copy(path, folder / name)), SeriesInstanceUID=uids[name])
    (folder / "readme.txt").write_text("no DICOM")
    ran = run_app(folder, tmp_path / "out", packed_bundle)
    assert ran.process.returncode == 0, ran.process.stderr
    assert "readme.txt is no DICOM file" in ran.process.stderr
    assert {series["series_instance_uid"] for series in ran.table["series"]} == set(uids.values())
    for name, chosen in groups.items():
        assert_equal_to_predictor(ran, _predictions(predictor, chosen), uids[name])
        _assert_geometry_is_the_sources(ran, chosen, uids[name])
