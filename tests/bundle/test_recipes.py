"""The recipes: overlays that change how our network is trained, or the network."""

from __future__ import annotations

import json
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch

from braintumor_ext import Predictor
from braintumor_ext.errors import InputError
from braintumor_ext.networks import BrainTumorNet, has_activated_pyramid
from monai_bundle.pack import NAME, pack
from tests.bundle.workflows import ROOT, make_workflow, places, run_workflow, told, train
from tests.inference.bright_square_model import square_slice

RECIPE = "recipes/activated_pyramid"


@pytest.fixture
def activated(tmp_path: Path) -> Path:
    """The checkpoint of a network with an activated pyramid, without settings beside it."""
    torch.manual_seed(0)
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "model.pt"
    torch.save(BrainTumorNet(pyramid_activation=True).state_dict(), path)
    return path


def own_answer(checkpoint: Path, predictor: Predictor, image: np.ndarray) -> dict[str, torch.Tensor]:
    """Return the answer of the network itself, built by hand."""
    network = BrainTumorNet(pyramid_activation=True).eval()
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    with torch.no_grad():
        return network(predictor.preprocessing({"image": image, "slice": 0})["image"][None].as_tensor())


def test_a_checkpoint_of_the_activated_pyramid_is_evaluated_with_its_overlay_alone(phantom_dataset, tmp_path):
    train(phantom_dataset, tmp_path, RECIPE, epochs=1)
    settings = places(phantom_dataset, tmp_path)
    with told(r"another architecture: .*decoder\.activations.*configs/recipes", InputError):
        run_workflow(make_workflow("train", "evaluate", **settings))
    run_workflow(make_workflow("train", "evaluate", RECIPE, **settings))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["segmentation"]["tumour_slices"]["n"] > 0


@pytest.mark.parametrize("overlays", [(), (RECIPE,)])
def test_inference_sees_from_the_checkpoint_which_network_it_is_of(activated, overlays):
    parser = make_workflow("inference", *overlays, workflow_type="infer", checkpoint=str(activated)).parser
    network = parser.get_parsed_content("network_def")
    parser.get_parsed_content("checkpointloader")
    assert len(network.decoder.activations) == 4
    parser = make_workflow("inference", workflow_type="infer").parser  # the released checkpoint has none
    assert len(parser.get_parsed_content("network_def").decoder.activations) == 0


def test_the_predictor_and_the_packed_bundle_run_it(activated, tmp_path):
    image, _ = square_slice()
    folder = pack(activated, tmp_path / "dist")
    predictors = [Predictor.from_bundle(ROOT, activated, image_size=64), Predictor.from_bundle(folder, image_size=64)]
    expected = own_answer(activated, predictors[0], image)["class"].softmax(1)[0]
    for predictor in predictors:
        answer = predictor(image)
        found = [answer.probabilities[name] for name in predictor.class_names]
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=0)
    for name in ("train", "inference"):  # what a consumer reads that knows the configs alone
        config = json.loads((folder / "configs" / f"{name}.json").read_text())
        assert True in (config.get("pyramid_activation"), config["network_def"].get("pyramid_activation"))
    network = monai.bundle.load(
        name=NAME,
        bundle_dir=str(folder.parent),
        args_file={"bundle_root": str(folder), "logging_file": False},
        device="cpu",
    )
    torch.testing.assert_close(dict(network.state_dict()), torch.load(activated, weights_only=True), rtol=0, atol=0)
    assert (folder / "configs" / f"{RECIPE}.json").is_file()


def test_a_packed_bundle_runs_a_checkpoint_of_the_other_network(activated, packed_bundle, tmp_path):
    image, _ = square_slice()
    predictor = Predictor.from_bundle(packed_bundle, activated)
    expected = own_answer(activated, predictor, image)["mask"]
    with torch.no_grad():
        x = predictor.preprocessing({"image": image, "slice": 0})["image"][None].as_tensor()
        torch.testing.assert_close(predictor.network(x)["mask"], expected)


def test_what_is_no_checkpoint_has_no_activated_pyramid(tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    assert not has_activated_pyramid(tmp_path / "broken.pt")
    assert not has_activated_pyramid(tmp_path / "missing.pt")
