"""The models that can be compared, by name."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from braintumor_ext.errors import InputError
from studies.comparison.inference_time import milliseconds_per_image
from studies.comparison.models import choose_models, known_models
from tests.conftest import REPOSITORY


def test_every_overlay_is_a_model_and_ours_comes_first():
    known = known_models(REPOSITORY)
    overlays = {p.stem for kind in ("baselines", "recipes") for p in (REPOSITORY / "configs" / kind).glob("*.json")}
    assert set(known) == {"ours"} | overlays
    assert next(iter(known)) == "ours"
    assert all(path.is_file() for model in known.values() for path in model.config_files)


def test_baselines_are_compared_by_default_and_recipes_when_named():
    chosen = [model.name for model in choose_models(REPOSITORY, None)]
    assert chosen[0] == "ours"
    assert set(chosen[1:]) == {path.stem for path in (REPOSITORY / "configs" / "baselines").glob("*.json")}
    assert [model.name for model in choose_models(REPOSITORY, ["progressive", "ours", "ours"])] == [
        "progressive",
        "ours",
    ]


def test_a_recipe_trains_all_models_and_leaves_each_its_own_network():
    models = {model.name: _config(model) for model in choose_models(REPOSITORY, None, recipe="strong")}
    plain = {model.name: _config(model) for model in choose_models(REPOSITORY, None)}
    assert models.keys() == plain.keys()
    for name, config in models.items():
        assert config["training_sections"] == ["training", "extra"], name
        assert config["alpha"] == 0.5, name
        assert "progressive_size" in config, name
        assert config["network_def"]["_target_"] == plain[name]["network_def"]["_target_"]
    assert models["unet"]["network_def"] == plain["unet"]["network_def"]
    assert models["no_segmentation"]["network_def"]["evidence"] is False  # which the masks would teach


def test_an_unknown_recipe_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"'stronger'.*Choose among progressive, strong"):
        choose_models(REPOSITORY, None, recipe="stronger")


def _config(model):
    parser = ConfigParser()
    parser.read_config([str(path) for path in model.config_files])
    return parser.get()


def test_an_unknown_model_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"'resnet51'.*Choose among ours, resnet50"):
        choose_models(REPOSITORY, ["resnet51"])


def test_time_per_image_grows_with_the_network():
    models = choose_models(REPOSITORY, ["efficientnet_b0", "unet"])
    taken = milliseconds_per_image(models, REPOSITORY, {}, 96, rounds=3)
    # the U-Net multiplies more than a hundred times as often: on a busy machine too it is slower
    assert taken["unet"] > 1.5 * taken["efficientnet_b0"] > 0
