"""One slice has one prediction: of its DICOM form the app says what the predictor says of its picture."""

from __future__ import annotations

import shutil

import pytest

from tests.deploy.conftest import run_app
from tests.deploy.predictions import groups_of, masks_by_image, probabilities_of
from tests.one_slice import HEIGHT, WIDTH
from tests.same_mask import assert_same_mask

pytestmark = pytest.mark.deploy


def test_a_picture_and_its_dicom_form_have_one_prediction(one_slice, predictor, packed_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(one_slice["dicom"], tmp_path / "in")
    prediction = predictor(one_slice["png"])
    ran = run_app(tmp_path / "in", tmp_path / "out", packed_bundle)
    assert ran.process.returncode == 0, ran.process.stderr
    (row,) = ran.series()["slices"]
    wanted = list(prediction.probabilities.values())
    assert list(row["probabilities"].values()) == pytest.approx(wanted, abs=1e-4)
    assert (row["label"], row["flags"]) == (prediction.label, list(prediction.flags))
    (mask,) = masks_by_image(ran.segmentation()).values()
    assert mask.shape == (HEIGHT, WIDTH)
    assert mask.any()
    assert_same_mask(mask, prediction.mask)
    (group,) = [group for group in groups_of(ran.report()) if len(group["images"]) == 1]
    assert probabilities_of(group) == pytest.approx(wanted, abs=1e-4)
