"""The recipes: overlays that change how our network is trained, or the network."""

from __future__ import annotations

import json

import pytest

from braintumor_ext.errors import InputError
from tests.bundle.workflows import make_workflow, places, run_workflow, told, train

RECIPE = "recipes/activated_pyramid"


def test_a_checkpoint_of_the_activated_pyramid_is_used_with_its_overlay_alone(phantom_dataset, tmp_path):
    train(phantom_dataset, tmp_path, RECIPE, epochs=1)
    settings = places(phantom_dataset, tmp_path)
    with told(r"another architecture: .*decoder\.activations.*configs/recipes", InputError):
        run_workflow(make_workflow("train", "evaluate", **settings))
    run_workflow(make_workflow("train", "evaluate", RECIPE, **settings))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["segmentation"]["tumour_slices"]["n"] > 0


@pytest.mark.parametrize(("files", "levels"), [(("inference",), 0), (("inference", RECIPE), 4)])
def test_inference_takes_the_overlay_too(files, levels):
    parser = make_workflow(*files, workflow_type="infer").parser
    assert len(parser.get_parsed_content("network_def").decoder.activations) == levels
