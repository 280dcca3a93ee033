"""The evaluation of heat maps through the bundle's configs."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.bundle.workflows import FLAT, TINY_NET, command_line, make_workflow, places, read_table, run_workflow, told

pytestmark = pytest.mark.slow

FILES = {"explanations.json", "explanations.md", "per_slice.csv", "deletion_insertion.png", "sanity.png"}
CONFIGS = "['configs/train.json','configs/explain.json']"


def explain(dataset_dir, models, folder, **overrides):
    base = {"dataset_dir": str(dataset_dir), "ckpt_dir": str(models), "output_dir": str(folder), "device": "cpu"}
    return make_workflow("train", "explain", **{**base, **overrides})


def test_the_command_explains_a_split_by_the_real_network(trained, phantom_dataset, tmp_path):
    models = trained[0] / "models"
    result = command_line(
        *("explaining", "--config_file", CONFIGS, "--dataset_dir", str(phantom_dataset), "--image_size", "64"),
        *("--ckpt_dir", str(models), "--output_dir", str(tmp_path), "--split", "validation"),
        *("--max_slices", "2", "--max_validation_slices", "1", "--max_sanity_slices", "1", "--methods", "['gradcam']"),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert {path.name for path in tmp_path.iterdir()} == FILES
    found = json.loads((tmp_path / "explanations.json").read_text(encoding="utf-8"))
    assert found["context"]["split"] == "validation"
    assert found["context"]["checkpoint_sha256"] == hashlib.sha256((models / "model.pt").read_bytes()).hexdigest()
    assert found["sanity"]["stages"] == ["classifier", "layer4", "layer3", "layer2", "layer1", "conv1"]
    assert (found["slices"]["evaluated"], found["settings"]["validation_slices"], found["sanity"]["n"]) == (2, 1, 1)
    rows = read_table(tmp_path / "per_slice.csv")
    assert {row["map"] for row in rows} == {"gradcam", "random", "centre"}
    listed = {item["image"] for item in json.loads((phantom_dataset / "datalist.json").read_text())["validation"]}
    assert {row["image"] for row in rows} <= listed
    assert found["reading"][0] in result.stdout + result.stderr


def test_the_properties_of_a_bundle_are_there(phantom_dataset, tmp_path):
    overrides = {**places(phantom_dataset, tmp_path), "network_def": TINY_NET, "device": "cpu"}
    workflow = make_workflow("train", "explain", **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.finalize()
    assert workflow.parser["run"] == workflow.parser["explaining"]


def test_an_unknown_method_is_told_before_any_work(tmp_path):
    workflow = explain(tmp_path / "nothing", tmp_path, tmp_path / "out", methods=["gradcam", "lime"])
    with told(r"--methods: there is no method 'lime'\. Valid are gradcam, gradcam\+\+, occlusion, smoothgrad"):
        workflow.initialize()
    assert not (tmp_path / "out").exists()


def test_a_missing_model_is_told(phantom_dataset, tmp_path):
    with told(r"model\.pt: no such checkpoint\. Train first"):
        run_workflow(explain(phantom_dataset, tmp_path, tmp_path / "out", methods="gradcam", **FLAT))


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("split", "validation", "split_data::section"),
        ("methods", ["attention"], "map_evaluation::methods"),
        ("explain_layer", "encoder.layer3", "map_evaluation::layer"),
        ("max_slices", 5, "map_evaluation::max_slices"),
        ("max_validation_slices", 6, "map_evaluation::max_validation_slices"),
        ("max_sanity_slices", 7, "map_evaluation::max_sanity_slices"),
        ("batch_size", 3, "map_evaluation::batch_size"),
        ("tolerance", 0, "map_evaluation::tolerance"),
        ("random_seed", 5, "map_evaluation::seed"),
        ("output_dir", "E", "map_evaluation::output_dir"),
        ("checkpoint", "other.pt", "load_checkpoint::path"),
        ("datalist", "other.json", "threshold_data::datalist"),
    ],
)
def test_an_override_reaches_its_place(name, value, place):
    workflow = make_workflow("train", "explain", **{name: value})
    workflow.initialize()
    assert workflow.parser.get_parsed_content(place) == value
