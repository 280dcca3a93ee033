"""Calibration through the bundle's configs: fitted, written, and used by an evaluation."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import torch

from braintumor_ext.calibration import calibrator
from braintumor_ext.inference.postprocessor import DISAGREE
from braintumor_ext.networks import bfloat16_stages
from tests.bundle.test_evaluation import evaluate
from tests.bundle.workflows import FLAT, make_workflow, read_table, run_workflow, told, train
from tests.report_files import read_tables

pytestmark = pytest.mark.slow


def calibrate(dataset_dir, models, folder, **overrides):
    """Calibrate a model of ``models``, with the report in ``folder``."""
    base = {"dataset_dir": str(dataset_dir), "ckpt_dir": str(models), "output_dir": str(folder)}
    few = {"validate::dataset::data::probe_variants": 2}
    return run_workflow(make_workflow("train", "calibrate", **{**base, **few, **overrides}))


@pytest.fixture(scope="module")
def calibrated(trained, phantom_dataset, tmp_path_factory):
    """The real network's model with its calibration, and the report."""
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "models").mkdir()
    for name in ("model.pt", "training.json"):
        (folder / "models" / name).symlink_to(trained[0] / "models" / name)
    calibrate(phantom_dataset, folder / "models", folder / "out")
    return folder


def test_the_file_belongs_to_its_model_and_says_what_it_was_fitted_on(calibrated):
    content = json.loads((calibrated / "models" / "calibration.json").read_text())
    model = (calibrated / "models" / "model.pt").read_bytes()
    assert content["sha256"] == hashlib.sha256(model).hexdigest()
    assert (content["fitted_on"], content["slices"], content["image_size"]) == ("validation", 8, 64)
    assert content["class_names"] == ["glioma", "meningioma", "pituitary", "no_tumor"]
    assert content["detector"]["stages"] == [256, 512, 1024, 2048]
    assert 0.05 <= content["temperature"] <= 20


def test_bfloat16_is_measured_on_the_validation_slices_and_changes_nothing_else(
    calibrated, phantom_dataset, tmp_path, monkeypatch
):
    entries = []
    for supported in (True, False):
        monkeypatch.setattr(calibrator, "cpu_has_bfloat16", lambda supported=supported: supported)
        models = tmp_path / str(supported)
        models.mkdir()
        for name in ("model.pt", "training.json"):
            (models / name).symlink_to(calibrated / "models" / name)
        workflow = calibrate(phantom_dataset, models, models / "out", batch_size=3)  # roles share batches
        entries.append(json.loads((models / "calibration.json").read_text()))
    measured, unmeasured = (entry.pop("bfloat16") for entry in entries)
    assert unmeasured is None
    assert entries[0] == entries[1]
    network = workflow.parser.get_parsed_content("network_def").eval()
    dataset = workflow.parser.get_parsed_content("validate::dataset")
    images = torch.stack([dataset[i]["image"].as_tensor() for i in range(8)])  # the validation section comes first
    with torch.no_grad():
        exact = network(images)
        with bfloat16_stages(network):
            rounded = network(images)
    one, other = (torch.softmax(out["class"].double() / entries[0]["temperature"], 1) for out in (exact, rounded))
    assert measured["n"] == 8
    assert measured["class_agreement"] == (one.argmax(1) == other.argmax(1)).double().mean()
    # other batches round otherwise in the last bit
    assert measured["probability_difference"] == pytest.approx(float((one - other).abs().max()), abs=2e-3)
    masks = [(out["mask"] > 0).flatten(1) for out in (exact, rounded)]
    dice = 2 * (masks[0] & masks[1]).sum(1) / (masks[0].sum(1) + masks[1].sum(1))
    expected = None if dice.isnan().all() else pytest.approx(float(dice.nanmean()), abs=0.01)
    assert measured["mask_dice"] == expected


def test_the_report_and_its_pictures_are_written(calibrated):
    names = {path.name for path in (calibrated / "out").iterdir()}
    assert {"calibration.md", "reliability_before.png", "reliability_after.png", "detector_scores.png"} <= names
    text = (calibrated / "out" / "calibration.md").read_text()
    assert set(re.findall(r"!\[.*?\]\((.*?)\)", text)) <= names
    probabilities, confidence, alarms, told = (table[1:] for table in read_tables(text))
    assert [len(row) for row in probabilities] == [4] * 3  # as trained, calibrated, cross-fitted
    assert len(confidence) == 2
    assert alarms[0][0] == told[-1][0] == "all"
    assert {"uniform noise", "photograph"} <= {row[0] for row in told}


def test_an_evaluation_uses_it_and_flags_slices(calibrated, phantom_dataset, tmp_path):
    plain, cautious = tmp_path / "plain", tmp_path / "cautious"
    evaluate(phantom_dataset, calibrated / "models", plain, calibration="none")
    evaluate(phantom_dataset, calibrated / "models", cautious)
    content = json.loads((calibrated / "models" / "calibration.json").read_text())
    contexts = [json.loads((folder / "metrics.json").read_text())["context"] for folder in (plain, cautious)]
    assert contexts[0]["calibration"] == "none (probabilities are not calibrated)"
    assert contexts[1]["calibration"] == f"temperature {content['temperature']:.3g}, fitted on validation"
    names = [f"p_{name}" for name in content["class_names"]]
    for row, other in zip(*(read_table(folder / "per_image.csv") for folder in (plain, cautious)), strict=True):
        before = np.array([float(row[name]) for name in names])
        scaled = before ** (1 / content["temperature"])  # softmax(z / T) is the softmax's power, normed
        after = np.array([float(other[name]) for name in names])
        np.testing.assert_allclose(after, scaled / scaled.sum(), atol=1e-4)
        assert ("low confidence" in other["flags"]) == (after.max() < content["confidence_threshold"])
        assert set(row["flags"].split("; ")) <= {"", DISAGREE}


def test_a_network_without_features_has_no_detector_and_an_earlier_file_is_kept(tiny_models, phantom_dataset, tmp_path):
    for number in range(2):
        calibrate(phantom_dataset, tiny_models, tmp_path / str(number), **FLAT)
    assert json.loads((tiny_models / "calibration.json").read_text())["detector"] is None
    assert len(list(tiny_models.glob("calibration.2*.json"))) == 1
    assert "there is no detector" in (tmp_path / "0" / "calibration.md").read_text()
    evaluate(phantom_dataset, tiny_models, tmp_path / "evaluated", **FLAT)
    assert (tmp_path / "evaluated" / "metrics.json").is_file()


def test_the_test_section_is_not_touched(tiny_models, phantom_dataset, tmp_path):
    content = json.loads((phantom_dataset / "datalist.json").read_text())
    content["test"] = []
    path = phantom_dataset / "no_test.json"
    path.write_text(json.dumps(content))
    calibrate(phantom_dataset, tiny_models, tmp_path / "out", datalist=str(path), **FLAT)
    assert "8 slices of known class" in (tmp_path / "out" / "calibration.md").read_text()


def test_a_validation_without_classes_is_told(tiny_models, phantom_dataset, tmp_path):
    content = json.loads((phantom_dataset / "datalist.json").read_text())
    for item in content["validation"]:
        del item["class"]
    path = phantom_dataset / "unknown_validation.json"
    path.write_text(json.dumps(content))
    with told("no slice of the validation section has a known class"):
        calibrate(phantom_dataset, tiny_models, tmp_path / "out", datalist=str(path), **FLAT)


def test_an_evaluation_refuses_the_calibration_of_another_model(tiny_models, phantom_dataset, tmp_path):
    models = tmp_path / "models"
    train(phantom_dataset, tmp_path, epochs=1, random_seed=5, **FLAT)
    calibrate(phantom_dataset, tiny_models, tmp_path / "out", **FLAT)
    shutil.copy(tiny_models / "calibration.json", models / "calibration.json")
    with told(r"calibration\.json: it was fitted to another model\.pt"):
        evaluate(phantom_dataset, models, tmp_path / "evaluated", **FLAT)
    train(phantom_dataset, tmp_path, epochs=1, random_seed=6, **FLAT)  # a new model.pt: the old file is set aside
    assert not (models / "calibration.json").exists()
    assert len(list(models.glob("calibration.2*.json"))) == 1


def test_all_properties_of_a_bundle_are_there(phantom_dataset, tiny_models, tmp_path):
    places = {"dataset_dir": str(phantom_dataset), "ckpt_dir": str(tiny_models), "output_dir": str(tmp_path)}
    workflow = make_workflow("train", "calibrate", **{**places, **FLAT, "device": "cpu"})
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.parser["run"] == workflow.parser["calibrating"]


@pytest.mark.parametrize(
    ("name", "value", "place", "expected"),
    [
        ("checkpoint", "other.pt", "load_checkpoint::path", "other.pt"),
        ("ckpt_dir", "M", "validate::handlers::0::checkpoint", "M/model.pt"),
        ("max_training_slices", 7, "validate::dataset::data::max_training_slices", 7),
        ("confidence_target", 0.9, "validate::handlers::0::confidence_target", 0.9),
    ],
)
def test_an_override_reaches_its_place(name, value, place, expected):
    workflow = make_workflow("train", "calibrate", **{name: value})
    workflow.initialize()
    assert workflow.parser.get_parsed_content(place) == expected
