"""The checkpoint that the repository itself holds, and its stored predictions about real slices."""

from __future__ import annotations

import hashlib

import pytest
import torch

from braintumor_ext import Predictor
from braintumor_ext.networks import read_settings
from braintumor_ext.reporting import with_interval
from monai_bundle.model_card import evaluation_metrics, read_evaluation
from studies.release import compare_predictions, read_expected
from tests.conftest import REPOSITORY
from tests.studies.conftest import read

MODELS = REPOSITORY / "models"
RESULTS = REPOSITORY / "studies" / "results" / "released-checkpoint"


def test_it_is_flat_half_and_small_enough():
    state = torch.load(MODELS / "model.pt", map_location="cpu", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert {value.dtype for value in state.values() if value.ndim > 1} == {torch.float16}
    assert all(torch.isfinite(value).all() for value in state.values())
    assert (MODELS / "model.pt").stat().st_size <= 80_000_000


def test_its_settings_calibration_and_stored_predictions_are_its_own():
    digest = hashlib.sha256((MODELS / "model.pt").read_bytes()).hexdigest()
    for name in ("training.json", "calibration.json", "expected.json"):
        assert read(MODELS / name)["sha256"] == digest, name
    settings = read_settings(MODELS / "model.pt")
    assert len(settings["split_hash"]) == 64
    assert settings["recipe"]


def test_metadata_and_card_tell_its_own_evaluation():
    evaluation = read_evaluation(RESULTS / "metrics.json", MODELS / "model.pt")  # refuses another checkpoint's
    assert read(REPOSITORY / "configs" / "metadata.json")["eval_metrics"] == evaluation_metrics(evaluation)
    card, readme = (REPOSITORY / name for name in ("docs/README.md", "README.md"))
    accuracy, dice = (
        with_interval(values)
        for values in (evaluation["classification"]["accuracy"], evaluation["segmentation"]["tumour_slices"]["dice"])
    )
    for page in (card, readme):
        text = page.read_text(encoding="utf-8")
        assert f"| accuracy | {accuracy} |" in text, page
        assert dice in text, page
    assert read_settings(MODELS / "model.pt")["sha256"][:16] in card.read_text(encoding="utf-8")


def test_inference_uses_it_by_default_as_it_was_trained():
    predictor = Predictor.from_bundle(REPOSITORY, device="cpu")
    settings = read_settings(MODELS / "model.pt")
    assert list(predictor.classes) == settings["class_names"]
    assert predictor.postprocessor.image_size == settings["image_size"]
    assert predictor.postprocessor.calibration is not None
    assert {value.dtype for value in predictor.network.parameters()} == {torch.float32}


@pytest.mark.real_data
def test_it_gives_the_stored_predictions_about_real_slices(brain_tumor_mri):
    expected = read_expected(MODELS / "expected.json")
    assert len(expected["predictions"]) >= 8
    assert {entry["true_class"] for entry in expected["predictions"]} == set(
        read(MODELS / "training.json")["class_names"]
    )
    areas = {entry["image"]: entry["area_px"] for entry in expected["predictions"]}
    predictor = Predictor.from_bundle(REPOSITORY, device="cpu", amp=False)
    for row in compare_predictions(expected, predictor, brain_tumor_mri):
        assert row["difference"] <= 1e-3, row["image"]
        assert row["area_difference"] <= max(10, 0.02 * areas[row["image"]]), row["image"]
