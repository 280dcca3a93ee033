"""One slice has one prediction, whatever its form and whoever asks; tests/label and tests/deploy ask the servers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from braintumor_ext import Predictor
from braintumor_ext.prediction import Prediction
from tests.bundle.workflows import make_workflow, read_table, run_workflow
from tests.conftest import REPOSITORY
from tests.inference.conftest import predict
from tests.one_slice import HEIGHT, WIDTH, shown_slice

FORMS = ("png", "nifti", "nifti_one_slice", "dicom")


@pytest.fixture(scope="module")
def predictor(packed_bundle: Path) -> Predictor:
    return Predictor.from_bundle(packed_bundle, device="cpu")


@pytest.fixture(scope="module")
def prediction(predictor: Predictor, one_slice: dict[str, Path]) -> Prediction:
    """Of the picture: what all others are compared with."""
    return predictor(one_slice["png"])


def test_the_prediction_is_one_that_a_wrong_orientation_would_change(predictor, prediction):
    assert prediction.mask.shape == (HEIGHT, WIDTH)
    assert prediction.calibrated
    shown = shown_slice()
    inside, outside = prediction.mask[shown > 240].mean(), prediction.mask[shown < 100].mean()
    assert inside > 0.7
    assert outside < 0.1
    for wrong in (shown[::-1], shown[:, ::-1], shown.T, shown // 2):
        other = predictor(np.ascontiguousarray(wrong))
        assert other.mask.shape != prediction.mask.shape or not np.array_equal(other.mask, prediction.mask)
        assert shares(other) != pytest.approx(shares(prediction), abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_python_gives_it(form, predictor, prediction, one_slice):
    found = predictor(one_slice[form])
    assert shares(found) == pytest.approx(shares(prediction), abs=1e-4)
    assert np.array_equal(found.mask, prediction.mask)
    assert found.flags == prediction.flags


@pytest.mark.parametrize("form", FORMS)
def test_the_bundles_inference_gives_it_in_the_files_own_grid(form, prediction, one_slice, example_models, tmp_path):
    alone = tmp_path / "in" / one_slice[form].name
    alone.parent.mkdir()
    shutil.copy(one_slice[form], alone)
    run = predict(alone.parent, tmp_path / "out", example_models, explain="none", report=False, overlays=False)
    row = run.json_rows[0]
    assert row["error"] == ""
    assert [row[f"p_{name}"] for name in prediction.probabilities] == pytest.approx(shares(prediction), abs=1e-4)
    assert np.array_equal(read_shown_mask(tmp_path / "out" / row["mask"]), prediction.mask)
    assert row["flags"] == "; ".join(prediction.flags)


def test_an_evaluation_gives_it(prediction, one_slice, example_models, tmp_path):
    """Its true mask is the predicted one: they overlap wholly if the evaluation's is the same."""
    items = []
    for form in FORMS:
        folder = tmp_path / "data" / form
        folder.mkdir(parents=True)
        shutil.copy(one_slice[form], folder / one_slice[form].name)
        items.append({"image": f"{form}/{one_slice[form].name}", "class": 0, "group": form})
    Image.fromarray(np.uint8(prediction.mask) * 255).save(tmp_path / "data" / "mask.png")
    items[0]["label"] = "mask.png"
    path = tmp_path / "data" / "datalist.json"
    path.write_text(json.dumps({"training": [], "validation": [], "test": items}), encoding="utf-8")
    places = {"dataset_dir": str(path.parent), "ckpt_dir": str(example_models), "output_dir": str(tmp_path / "out")}
    without_baselines = {"validate::handlers::0::training_data": None}
    run_workflow(make_workflow("train", "evaluate", **places, **without_baselines))
    rows = {row["group"]: row for row in read_table(tmp_path / "out" / "per_image.csv")}
    assert rows.keys() == set(FORMS)
    for row in rows.values():
        assert [float(row[f"p_{name}"]) for name in prediction.probabilities] == pytest.approx(
            shares(prediction), abs=1e-4
        )
        assert int(row["pred_area_px"]) == prediction.mask.sum()
        assert row["flags"] == "; ".join(prediction.flags)
    assert float(rows["png"]["dice"]) == 1


def shares(prediction: Prediction) -> list[float]:
    assert prediction.probabilities is not None
    return list(prediction.probabilities.values())


def read_shown_mask(path: Path) -> np.ndarray:
    """A mask file, turned to how a person sees it; by the file's affine alone."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path)) > 0
    image = nibabel.as_closest_canonical(nibabel.load(path))  # RAS
    return (np.asarray(image.dataobj).reshape(image.shape[:2]) > 0)[::-1, ::-1].T


def test_the_repository_and_the_packed_bundle_give_it(prediction, one_slice, example_models):
    found = Predictor.from_bundle(REPOSITORY, example_models / "model.pt", "cpu")(one_slice["png"])
    assert shares(found) == pytest.approx(shares(prediction), abs=1e-6)
    assert np.array_equal(found.mask, prediction.mask)
