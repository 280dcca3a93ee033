"""A checkpoint tells its network: each run builds that one, from the checkpoint alone."""

from __future__ import annotations

import json
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch

from braintumor_ext import Predictor
from braintumor_ext.classes import CLASSES
from braintumor_ext.errors import InputError
from braintumor_ext.networks import BrainTumorNet, describe_network, write_settings
from monai_bundle.pack import NAME, pack
from tests.bundle.workflows import ROOT, make_workflow, places, run_workflow, told, train
from tests.inference.bright_square_model import square_slice

pytestmark = pytest.mark.slow

OTHER = {"pyramid_channels": 24, "pyramid_activation": False, "reduction": 8, "hidden": 64}
"""A network that is not the default one."""

RUNS = (("train", "evaluate"), ("train", "calibrate"), ("train", "explain"), ("inference",))


@pytest.fixture(params=[True, False], ids=["told", "seen"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint of another network than the default one: told by ``training.json``, or seen from its weights."""
    torch.manual_seed(0)
    network = BrainTumorNet(**OTHER)
    path = tmp_path / "models" / "model.pt"
    path.parent.mkdir()
    torch.save(network.state_dict(), path)
    if request.param:
        settings = {"class_names": list(CLASSES), "in_channels": 3, "image_size": 64}
        write_settings(path, {**settings, "network": describe_network(network)})
    return path


def own_prediction(checkpoint: Path, predictor: Predictor, image: np.ndarray) -> dict[str, torch.Tensor]:
    """Return the prediction of the network itself, built by hand."""
    network = BrainTumorNet(**OTHER).eval()
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    with torch.no_grad():
        return network(predictor.preprocessing({"image": image, "slice": 0})["image"][None].as_tensor())


def test_a_training_tells_its_network_and_is_evaluated_without_its_overlay(phantom_dataset, tmp_path):
    overlay = {"network_def::attention": "false", "network_def::pyramid_channels": 16}
    train(phantom_dataset, tmp_path, epochs=1, **overlay)
    found = json.loads((tmp_path / "models" / "training.json").read_text())["network"]
    with torch.device("meta"):
        assert found == describe_network(BrainTumorNet(attention=False, pyramid_channels=16))
    run_workflow(make_workflow("train", "evaluate", **places(phantom_dataset, tmp_path)))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["segmentation"]["tumour_slices"]["n"] > 0


@pytest.mark.parametrize("names", RUNS, ids=lambda names: names[-1])
def test_each_run_builds_the_network_that_the_checkpoint_is_of(other, names):
    kind = "infer" if names == ("inference",) else "train"
    parser = make_workflow(*names, workflow_type=kind, ckpt_dir=str(other.parent)).parser
    network = parser.get_parsed_content("network_def")
    assert {name: network.arguments[name] for name in OTHER} == OTHER
    parser.get_parsed_content("checkpointloader" if kind == "infer" else "load_checkpoint")
    assert torch.equal(network.state_dict()["decoder.head.weight"], torch.load(other)["decoder.head.weight"])


@pytest.mark.parametrize("names", RUNS, ids=lambda names: names[-1])
def test_the_network_of_the_released_checkpoint_is_its_own(names):
    kind = "infer" if names == ("inference",) else "train"
    network = make_workflow(*names, workflow_type=kind).parser.get_parsed_content("network_def")
    told = json.loads((ROOT / "models" / "training.json").read_text())["network"]
    assert told["attention"] is False  # not what train.json trains by default, so that it can't pass by accident
    assert {name: network.arguments[name] for name in told if name != "architecture"} == {
        name: value for name, value in told.items() if name != "architecture"
    }


def test_an_argument_that_contradicts_the_checkpoint_is_told(other):
    settings = {"ckpt_dir": str(other.parent), "network_def::pyramid_channels": 32}
    parser = make_workflow("inference", workflow_type="infer", **settings).parser
    with told(r"another architecture: .*decoder\.head\.weight \(1, 24, 1, 1\) instead of \(1, 32, 1, 1\)", InputError):
        parser.get_parsed_content("checkpointloader")


def test_the_predictor_and_the_packed_bundle_run_it(other, tmp_path):
    image, _ = square_slice()
    folder = pack(other, tmp_path / "dist")
    predictors = [Predictor.from_bundle(ROOT, other, image_size=64), Predictor.from_bundle(folder, image_size=64)]
    expected = own_prediction(other, predictors[0], image)["class"].softmax(1)[0]
    for predictor in predictors:
        prediction = predictor(image)
        found = [prediction.probabilities[name] for name in predictor.classes]
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=0)
    config = json.loads((folder / "configs" / "train.json").read_text())["network_def"]
    assert {name: config[name] for name in OTHER} == OTHER  # what a consumer reads that knows the configs alone
    assert config["in_channels"] == "@in_channels"
    network = monai.bundle.load(
        name=NAME,
        bundle_dir=str(folder.parent),
        args_file={"bundle_root": str(folder), "logging_file": False},
        device="cpu",
    )
    torch.testing.assert_close(dict(network.state_dict()), torch.load(other, weights_only=True), rtol=0, atol=0)


def test_a_packed_bundle_runs_a_checkpoint_of_the_other_network(other, packed_bundle):
    image, _ = square_slice()
    predictor = Predictor.from_bundle(packed_bundle, other)
    expected = own_prediction(other, predictor, image)["mask"]
    with torch.no_grad():
        x = predictor.preprocessing({"image": image, "slice": 0})["image"][None].as_tensor()
        torch.testing.assert_close(predictor.network(x)["mask"], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "place", [{"network": {"attention": "$X"}}, {"class_names": ["$X"]}, {"image_size": "$X"}, {"empty_class": "$X"}]
)
def test_an_expression_in_the_settings_is_refused_and_never_run(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trace = tmp_path / "trace"
    told_expression = json.loads(json.dumps(place).replace("$X", f"$open('{trace}', 'w').close()"))
    path = tmp_path / "model.pt"
    torch.save(BrainTumorNet(**OTHER).state_dict(), path)
    write_settings(path, told_expression)
    for names in RUNS:
        kind = "infer" if names == ("inference",) else "train"
        parser = make_workflow(*names, workflow_type=kind, ckpt_dir=str(tmp_path)).parser
        with told(r"training\.json: \w+ is", InputError):
            parser.get_parsed_content("network_def")
    with pytest.raises(InputError, match=r"training\.json"):
        Predictor.from_bundle(ROOT, path)
    with pytest.raises(InputError, match=r"training\.json"):
        pack(path, tmp_path / "dist")
    assert not trace.exists()
