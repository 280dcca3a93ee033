"""Each exported network gives what the eager one gives, at any batch and size, and says what it is."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from braintumor_ext import Predictor, __version__
from braintumor_ext.backends import BACKENDS, METADATA_KEY, ExportedNetwork, HeadsAndFeatures
from braintumor_ext.classes import CLASSES
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.files import sha256_of
from braintumor_ext.networks import BrainTumorNet
from tests.conftest import REPOSITORY

FORMATS = list(BACKENDS)


def document(models: Path, name: str) -> dict:
    """The document as the format's own tools find it in the file."""
    path = models / f"model{BACKENDS[name].suffix}"
    if name == "torchscript":
        with zipfile.ZipFile(path) as archive:
            (entry,) = (n for n in archive.namelist() if n.endswith(f"extra/{METADATA_KEY}.json"))
            return json.loads(archive.read(entry))
    if name == "onnx":
        (text,) = (p.value for p in onnx.load(path).metadata_props if p.key == METADATA_KEY)
        return json.loads(text)
    (found,) = ET.parse(path).getroot().findall(f"rt_info/{METADATA_KEY}")
    return json.loads(found.get("value"))


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == ["class", "mask", "features"]
    for name, value in found.items():
        assert value.shape == expected[name].shape
        assert value.dtype == torch.float32
        assert (value - expected[name]).abs().max() < 1e-4 * expected[name].abs().max(), name


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 64, 64), (2, 96, 160), (1, 32, 32), (2, 75, 101)])
def test_any_batch_and_size_gives_the_eager_predictions(name, shape, networks, eager):
    batch, height, width = shape
    x = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height))
    with torch.no_grad():
        expected = ExplainingInferer("none")(x, eager)  # its features come from hooks
    assert_close(networks[name](x), expected)


@pytest.mark.parametrize("name", FORMATS)
def test_other_forms_of_the_input_make_no_difference(name, networks, images):
    expected = networks[name](images)
    for form in (images.to(memory_format=torch.channels_last), MetaTensor(images), images.double()):
        assert_close(networks[name](form), expected)


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_that_is_too_small_or_of_other_channels_is_told(name, networks):
    for shape in ((1, 3, 31, 64), (1, 1, 64, 64)):
        with pytest.raises(ValueError, match=r"\(B, 3, H, W\) with H and W of at least 32"):
            networks[name](torch.zeros(shape))


@pytest.mark.parametrize("name", FORMATS)
def test_the_inferer_takes_the_features_from_the_output(name, networks, images):
    output = ExplainingInferer("none")(images, networks[name])
    assert output["features"].shape == (3, 960)


def test_the_exported_form_is_the_network_with_features(eager, images):
    with torch.no_grad():
        found, expected = HeadsAndFeatures(eager)(images), ExplainingInferer("none")(images, eager)
    for name in ("class", "mask", "features"):
        torch.testing.assert_close(found[name], expected[name])


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_holds_what_its_use_needs(name, models, networks):
    found = document(models, name)
    assert networks[name].description.to_json() == json.dumps(found)
    assert found["class_names"] == list(CLASSES)
    assert (found["empty_class"], found["in_channels"], found["image_size"]) == ("no_tumor", 3, 64)
    assert found["checkpoint"] == "model.pt"
    assert found["sha256"] == sha256_of(models / "model.pt")
    assert found["bundle_version"] == __version__
    assert found["agreement"]["slices"] == 32
    assert found["agreement"]["same_class"] == 1
    assert all(0 <= found["agreement"]["differences"][head] < 1e-4 for head in ("class", "mask", "features"))


def test_the_preprocessing_can_be_written_anew_from_the_constants(models, tmp_path):
    constants = document(models, "onnx")["preprocessing"]
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "slice.png")
    predictor = Predictor.from_bundle(REPOSITORY, models / "model.pt", "cpu")
    expected = predictor.preprocessing({"image": str(tmp_path / "slice.png")})["image"]
    mean, std = (np.array(constants[key])[:, None, None] for key in ("mean", "std"))
    found = (np.stack([pixels / 255] * constants["channels"]) - mean) / std
    np.testing.assert_allclose(expected, found, atol=1e-5)
    assert constants["image_size"] == 64
    assert "percentiles 0.5 and 99.5" in constants["grey"]


def test_names_and_dynamic_shapes_are_those_that_other_programs_see(models):
    session = onnxruntime.InferenceSession(models / "model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("image", ["batch", 3, "height", "width"])
    assert [o.name for o in session.get_outputs()] == ["class", "mask", "features"]
    assert sorted(p.name for p in models.glob("model.onnx*")) == ["model.onnx"]  # its weights are in it
    module = torch.jit.load(models / "model.ts")
    assert list(module(torch.zeros(1, 3, 64, 64))) == ["class", "mask", "features"]


def test_an_onnx_file_tells_nothing_of_the_machine_that_made_it(models):
    assert str(REPOSITORY).encode() not in (models / "model.onnx").read_bytes()
    assert b"stack_trace" not in (models / "model.onnx").read_bytes()


def test_openvino_keeps_float32_weights_and_reports_to_nobody(models, tmp_path):
    parameters = sum(p.numel() for p in BrainTumorNet(encoder="resnet18", pyramid_channels=256).parameters())
    assert (models / "model.bin").stat().st_size > 3.9 * parameters  # the folded batch normalisations are gone
    code = (
        "import sys; from braintumor_ext.backends import BACKENDS, load_exported;"
        f"load_exported(BACKENDS['openvino'], {str(models / 'model.pt')!r});"
        "assert sys.modules['openvino_telemetry'] is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, env={"HOME": str(tmp_path)}, timeout=100)
    assert not (tmp_path / "intel").exists()  # where its telemetry keeps a client id


def test_an_exported_network_needs_no_gradients(networks, images):
    for network in networks.values():
        assert isinstance(network, ExportedNetwork)
        assert not any(value.requires_grad for value in network(images.requires_grad_()).values())
