"""The recipes: overlays that change how our network is trained."""

from __future__ import annotations

import inspect
import json
import pydoc

import pytest
from monai.engines.utils import IterationEvents

from braintumor_ext.errors import InputErrors
from tests.bundle.workflows import ROOT, make_workflow, places, told, train

pytestmark = pytest.mark.slow

RECIPES = sorted(path.stem for path in (ROOT / "configs" / "recipes").glob("*.json"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_recipe_names_what_the_training_s_config_lacks(recipe):
    workflow = make_workflow("train", f"recipes/{recipe}")
    own = json.loads((ROOT / "configs" / "train.json").read_text())
    overlay = json.loads((ROOT / "configs" / "recipes" / f"{recipe}.json").read_text())
    new = {name for name in overlay if "::" not in name and name.removeprefix("+") not in own}
    assert all(f"@{name}" in json.dumps(overlay) for name in new), new  # a name of its own is referred to
    for name in overlay:
        component, _, argument = name.rpartition("::")
        if name.startswith("+"):
            assert isinstance(workflow.parser.get(name[1:]), list), name
        elif component:
            target = pydoc.locate(workflow.parser.get(component)["_target_"])
            assert argument in inspect.signature(target).parameters, name


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_whole_in_several_processes(recipe):
    alone, shared = (make_workflow("train", f"recipes/{recipe}", *more).parser for more in ((), ("multi_gpu_train",)))
    assert shared["train::handlers"] == alone["train::handlers"]
    assert shared["initialize"][: len(alone["initialize"])] == alone["initialize"]


def test_the_strong_recipe_trains_its_own_network_from_all_its_sections(phantom_dataset, tmp_path):
    # phantoms have no extra slices; a share of the training's stands for them
    content = json.loads((phantom_dataset / "datalist.json").read_text())
    content["extra"] = content["training"][::4]
    content["training"] = [item for item in content["training"] if item not in content["extra"]]
    datalist = phantom_dataset / "with_extra.json"
    datalist.write_text(json.dumps(content))
    seen = []
    options = {**places(phantom_dataset, tmp_path), "datalist": str(datalist), "image_size": 96, "epochs": 4}
    workflow = make_workflow("train", "recipes/strong", **options)
    workflow.initialize()
    workflow.trainer.add_event_handler(
        IterationEvents.FORWARD_COMPLETED,
        lambda engine: seen.append((engine.state.output["image"].shape[-1], set(engine.state.output["pred"]))),
    )
    workflow.run()
    assert len(workflow.parser.get_parsed_content("train::dataset")) == len(content["training"]) + len(content["extra"])
    sizes = [size for size, _ in seen]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 96
    assert all(outputs == {"class", "mask", "evidence"} for _, outputs in seen)
    settings = json.loads((tmp_path / "models" / "training.json").read_text())
    assert settings["network"]["attention"] is True
    assert settings["training_sections"] == ["training", "extra"]


def test_without_extra_slices_the_strong_recipe_says_what_to_do(phantom_dataset, tmp_path):
    with told(r"'extra' has no items. Prepare the data with --extra", InputErrors):
        train(phantom_dataset, tmp_path, "recipes/strong", epochs=1)
