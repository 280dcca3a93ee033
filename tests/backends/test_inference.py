"""The bundle's inference and the predictor give one prediction by every backend."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from braintumor_ext import Predictor
from braintumor_ext.backends import BACKENDS
from braintumor_ext.backends.backend import needed
from braintumor_ext.errors import InputError
from braintumor_ext.networks import BrainTumorNet
from tests.bundle.workflows import told
from tests.conftest import REPOSITORY
from tests.inference.conftest import Prediction, inference_workflow, predict

pytestmark = pytest.mark.slow

FORMATS = list(BACKENDS)
PLAIN = {"explain": "none", "overlays": False, "report": False, "batch_size": 3}


@pytest.fixture(scope="module")
def predictions(slices: Path, models: Path, tmp_path_factory) -> Prediction:
    """What the eager network says of the slices."""
    return predict(slices, tmp_path_factory.mktemp("eager"), models, **PLAIN)


def assert_same(found: Prediction, expected: Prediction) -> None:
    assert [row["file"] for row in found.rows] == [row["file"] for row in expected.rows]
    for row, known in zip(found.json_rows, expected.json_rows, strict=True):
        assert (row["class"], row["flags"], row["error"]) == (known["class"], known["flags"], known["error"])
        if known["error"]:
            continue
        for name in [key for key in known if key.startswith("p_")]:
            assert row[name] == pytest.approx(known[name], abs=1e-4)
        masks = [np.asarray(Image.open(run.folder / r["mask"])) for run, r in ((found, row), (expected, known))]
        np.testing.assert_array_equal(*masks)
        assert masks[0].any() or known["area_px"] == 0


@pytest.mark.parametrize("name", FORMATS)
def test_the_bundle_s_inference_gives_the_eager_predictions(name, slices, models, predictions, tmp_path):
    found = predict(slices, tmp_path / "out", models, backend=name, **PLAIN)
    assert_same(found, predictions)
    flags = {row["file"]: row["flags"] for row in found.rows}
    assert "does not look like a brain MRI slice" in flags["noise.png"]
    assert sum(row["area_px"] not in ("", "0") for row in found.rows) >= 5
    assert found.exit_message.startswith("1 of 7 inputs")


@pytest.mark.parametrize("name", FORMATS)
def test_the_predictor_gives_the_eager_predictions(name, slices, predictors):
    paths = [slices / f"{n}.png" for n in range(5)] + [slices / "noise.png"]
    for prediction, known in zip(predictors[name](paths), predictors["eager"](paths), strict=True):
        assert prediction.probabilities == pytest.approx(known.probabilities, abs=1e-4)
        np.testing.assert_array_equal(prediction.mask, known.mask)
        assert (prediction.label, prediction.flags, prediction.calibrated) == (known.label, known.flags, True)


@pytest.mark.parametrize("name", FORMATS)
def test_one_slice_has_one_prediction_in_all_its_forms(name, one_slice, predictors):
    known = predictors["eager"](one_slice["png"])
    found = predictors[name](list(one_slice.values()))
    assert len(found) == 4
    for prediction in found:
        assert prediction.probabilities == pytest.approx(known.probabilities, abs=1e-4)
        np.testing.assert_array_equal(prediction.mask, known.mask)
        assert prediction.flags == known.flags


@pytest.fixture(scope="module")
def alone(models: Path, tmp_path_factory) -> Path:
    """A folder with exports and a calibration but no checkpoint and no settings."""
    folder = tmp_path_factory.mktemp("alone")
    for name in ("model.ts", "model.onnx", "model.xml", "model.bin", "calibration.json"):
        os.link(models / name, folder / name)
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_the_exported_file_suffices(name, alone, slices, predictions, tmp_path):
    assert_same(predict(slices, tmp_path / "out", alone, backend=name, **PLAIN), predictions)
    predictor = Predictor.from_bundle(REPOSITORY, alone / "model.pt", "cpu", backend=name)
    assert predictor.postprocessor.image_size == 64  # 224 is the config's
    assert predictor(slices / "0.png").calibrated


def test_another_place_of_the_exported_file(models, slices, predictions, tmp_path):
    os.link(models / "model.onnx", tmp_path / "elsewhere.onnx")
    assert_same(
        predict(slices, tmp_path / "out", models, backend="onnx", exported=str(tmp_path / "elsewhere.onnx"), **PLAIN),
        predictions,
    )


def test_an_export_of_another_checkpoint_is_refused(models, slices, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    os.link(models / "model.onnx", folder / "model.onnx")
    torch.save(BrainTumorNet().state_dict(), folder / "model.pt")
    message = r"model\.onnx: exported from another model\.pt than .*Export it again: .*scripts\.export .*--format onnx"
    workflow = inference_workflow(slices, tmp_path / "out", folder, backend="onnx", calibration="none")
    workflow.initialize()
    with told(message):
        workflow.run()
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=message):
        Predictor.from_bundle(REPOSITORY, folder / "model.pt", "cpu", backend="onnx")
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"class_names": ["a", "b", "c", "no_tumor"]},
            r"exported for .*glioma, .* not a, b, c, no_.*--class_names",
        ),
        ({"in_channels": 1}, r"takes 3 channels, not 1\. Give --in_channels 3"),
    ],
)
def test_other_classes_or_channels_are_refused(settings, message, alone):
    with pytest.raises(InputError, match=message):
        Predictor.from_bundle(
            REPOSITORY, alone / "model.pt", "cpu", backend="torchscript", calibration="none", **settings
        )


def test_another_size_is_a_warning(alone, slices, caplog):
    predictor = Predictor.from_bundle(REPOSITORY, alone / "model.pt", "cpu", backend="onnx", image_size=96)
    assert "trained with image_size 64, not 96: give --image_size 64" in caplog.text
    assert predictor(slices / "0.png").label


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_export_is_told_with_the_command_that_makes_it(name, example_models):
    suffix = BACKENDS[name].suffix
    with pytest.raises(InputError, match=rf"model\{suffix}: no such {name} export.*scripts\.export .*--format {name}"):
        Predictor.from_bundle(REPOSITORY, example_models / "model.pt", "cpu", backend=name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_broken_or_foreign_file_is_told(name, models, tmp_path):
    path = tmp_path / f"model{BACKENDS[name].suffix}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=rf"not a readable {name} export"):
        Predictor.from_bundle(REPOSITORY, models / "model.pt", "cpu", backend=name, exported=str(path))


def test_a_torchscript_module_of_another_origin_is_told(models, tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "model.ts")
    with pytest.raises(InputError, match="not a readable torchscript export"):
        Predictor.from_bundle(
            REPOSITORY, models / "model.pt", "cpu", backend="torchscript", exported=str(tmp_path / "model.ts")
        )


def test_an_unknown_backend_is_told_with_the_valid_ones(models):
    with pytest.raises(InputError, match=r"no backend 'tensorrt'\. Valid are eager, torchscript, onnx, openvino"):
        Predictor.from_bundle(REPOSITORY, models / "model.pt", "cpu", backend="tensorrt")


def test_a_missing_package_is_told_with_its_installation():
    with pytest.raises(InputError, match=r"package no_such_runtime is not installed.*pip install no_such_runtime"):
        needed("no_such_runtime", "onnx")


def test_the_default_heat_map_is_left_out_with_a_word(models, slices, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    found = predict(slices / "0.png", tmp_path / "out", models, **{**PLAIN, "explain": "gradcam"}, backend="onnx")
    assert found.exit_message is None
    assert caplog.text.count("No heat maps: gradcam looks into the network, which --backend onnx doesn't allow") == 1


@pytest.mark.parametrize("method", ["gradcam", "smoothgrad", "attention"])
def test_a_method_that_looks_into_the_network_is_refused_where_it_was_asked_for(method, alone, slices):
    predictor = Predictor.from_bundle(REPOSITORY, alone / "model.pt", "cpu", backend="onnx")
    with pytest.raises(InputError, match=f"--explain {method}: .*backend onnx doesn't allow.*or explain by occlusion"):
        predictor(slices / "0.png", explain=method)


def test_occlusion_needs_no_eager_network(predictors, slices):
    eager = predictors["eager"](slices / "1.png", explain="occlusion")
    found = predictors["onnx"](slices / "1.png", explain="occlusion")
    assert found.flags == eager.flags
    assert np.corrcoef(found.heat_map.ravel(), eager.heat_map.ravel())[0, 1] > 0.95 or eager.heat_map.max() == 0


def test_the_workflow_s_properties_are_complete_with_every_backend(models, slices, tmp_path):
    for name in ("eager", *FORMATS):
        workflow = inference_workflow(slices, tmp_path / "out", models, backend=name)
        workflow.initialize()
        assert workflow.check_properties() == []
        assert type(workflow.network_def) is BrainTumorNet
