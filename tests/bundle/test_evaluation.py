"""Evaluation through the bundle's configs."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil

import pytest
import torch
from monai.bundle import ConfigParser

from braintumor_ext.networks import BrainTumorNet
from tests.bundle.workflows import FLAT, ROOT, SMALL, make_workflow, read_table, run_workflow, told


def evaluate(dataset_dir, models, folder, **overrides):
    """Evaluate a model of ``models``, with the report in ``folder``."""
    base = {"dataset_dir": str(dataset_dir), "ckpt_dir": str(models), "output_dir": str(folder)}
    return run_workflow(make_workflow("train", "evaluate", **{**base, **overrides}))


@pytest.fixture(scope="module")
def report(trained, phantom_dataset, tmp_path_factory):
    """The report on the test split."""
    folder = tmp_path_factory.mktemp("evaluation")
    gone = str(folder / "gone.pth")  # what the training started from is not needed any more
    evaluate(phantom_dataset, trained[0] / "models", folder, pretrained=gone)
    return folder


def test_every_slice_of_the_test_split_has_one_row(report, phantom_dataset):
    test = json.loads((phantom_dataset / "datalist.json").read_text())["test"]
    rows = read_table(report / "per_image.csv")
    assert sorted(row["image"] for row in rows) == sorted(item["image"] for item in test)
    by_image = {item["image"]: item for item in test}
    names = ["glioma", "meningioma", "pituitary", "no_tumor"]
    assert all(row["true_class"] == names[by_image[row["image"]]["class"]] for row in rows)
    assert all(row["group"] == by_image[row["image"]]["group"] for row in rows)


def test_the_probabilities_are_those_of_the_checkpoint(report, trained, phantom_dataset):
    network = BrainTumorNet().eval()
    network.load_state_dict(torch.load(trained[0] / "models" / "model.pt", weights_only=True))
    workflow = make_workflow("inference", workflow_type="infer")
    workflow.initialize()
    preprocessing = workflow.parser.get_parsed_content("preprocessing")
    row = read_table(report / "per_image.csv")[3]
    image = preprocessing({"image": str(phantom_dataset / row["image"])})["image"]
    with torch.no_grad():
        expected = network(torch.as_tensor(image)[None])["class"].softmax(1)[0]
    found = [float(row[f"p_{name}"]) for name in ("glioma", "meningioma", "pituitary", "no_tumor")]
    assert found == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_report_says_what_it_belongs_to(report, trained):
    metrics = json.loads((report / "metrics.json").read_text())
    model = (trained[0] / "models" / "model.pt").read_bytes()
    assert metrics["context"]["split"] == "test"
    assert metrics["context"]["checkpoint_sha256"] == hashlib.sha256(model).hexdigest()
    assert metrics["bootstrap"]["n_draws"] == 2000
    assert metrics["bootstrap"]["seed"] == 0


def test_both_baselines_stand_beside_the_accuracy(report):
    baselines = json.loads((report / "metrics.json").read_text())["trivial_baselines"]
    assert set(baselines) == {"nearest_neighbour", "file_properties"}
    assert all(baseline["n"] == 8 for baseline in baselines.values())


def test_all_files_are_written(report):
    names = {path.name for path in report.iterdir()}
    assert {"metrics.json", "per_image.csv", "report.md", "confusion_matrix.png", "roc_curves.png"} <= names


def test_evaluation_leaves_the_models_as_they_are(report, trained):
    assert sorted(path.name for path in (trained[0] / "models").iterdir()) == ["last.pt", "model.pt", "training.json"]


def test_another_split_can_be_evaluated(tiny_models, phantom_dataset, tmp_path):
    evaluate(phantom_dataset, tiny_models, tmp_path, split="validation", **FLAT)
    validation = json.loads((phantom_dataset / "datalist.json").read_text())["validation"]
    rows = read_table(tmp_path / "per_image.csv")
    assert sorted(row["image"] for row in rows) == sorted(item["image"] for item in validation)
    assert json.loads((tmp_path / "metrics.json").read_text())["context"]["split"] == "validation"


def test_slices_of_unknown_class_and_mask_are_evaluated_as_far_as_known(tiny_models, phantom_dataset, tmp_path):
    content = json.loads((phantom_dataset / "datalist.json").read_text())
    del content["test"][0]["class"], content["test"][1]["label"]
    path = phantom_dataset / "partly_unknown.json"
    path.write_text(json.dumps(content))
    evaluate(phantom_dataset, tiny_models, tmp_path, datalist=str(path), **FLAT)
    slices = json.loads((tmp_path / "metrics.json").read_text())["slices"]
    assert (slices["total"], slices["class_known"], slices["mask_known"]) == (8, 7, 7)


def test_a_model_of_other_classes_is_refused(tiny_models, phantom_dataset, tmp_path):
    content = json.loads((phantom_dataset / "datalist.json").read_text())
    names = ["meningioma", "glioma", "pituitary", "no_tumor"]
    path = phantom_dataset / "other_order.json"
    path.write_text(json.dumps({**content, "class_names": names}))
    with told(r"model\.pt: trained for the classes glioma, meningioma, .*Give --class_names"):
        evaluate(phantom_dataset, tiny_models, tmp_path, datalist=str(path), class_names=names, **FLAT)
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("files", [("train", "evaluate"), ("train", "calibrate"), ("train", "explain"), ("inference",)])
def test_the_input_size_is_the_checkpoints_own(files, tiny_models, tmp_path):
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / f"{name}.json") for name in files])
    parser.update({"bundle_root": str(ROOT), "ckpt_dir": str(tiny_models)})
    assert parser.get_parsed_content("image_size") == FLAT["image_size"]
    parser["ckpt_dir"] = str(tmp_path)  # no checkpoint, or one without its settings
    assert parser.get_parsed_content("image_size") == 224


def test_another_image_size_than_in_training_is_told(tiny_models, phantom_dataset, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "braintumor_ext"):
        evaluate(phantom_dataset, tiny_models, tmp_path, **{**FLAT, "image_size": 48})
    assert "was trained with image_size 32, not 48: give --image_size 32" in caplog.text
    assert (tmp_path / "metrics.json").is_file()


def test_a_model_of_another_architecture_is_refused(tiny_models, phantom_dataset, tmp_path):
    with told(r"model\.pt: a checkpoint of another architecture: missing .*unexpected"):
        evaluate(phantom_dataset, tiny_models, tmp_path, **SMALL)


def test_a_missing_model_is_told(phantom_dataset, tmp_path):
    with told(r"model\.pt: no such checkpoint\. Train first"):
        evaluate(phantom_dataset, tmp_path, tmp_path, **FLAT)


def test_the_state_to_resume_is_no_model(tiny_models, phantom_dataset, tmp_path):
    shutil.copy(tiny_models / "last.pt", tmp_path / "model.pt")
    with told(r"not a flat state dict .*Give model\.pt"):
        evaluate(phantom_dataset, tmp_path, tmp_path, **FLAT)
