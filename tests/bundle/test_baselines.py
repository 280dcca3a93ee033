"""The baselines of the comparison: small overlays on train.json, trained and evaluated like our network."""

from __future__ import annotations

import json
import re

import pytest
import torch
from monai.bundle import ConfigParser

from tests.bundle.workflows import ROOT, make_workflow, places, read_table, run_workflow

pytestmark = pytest.mark.slow

OVERLAYS = sorted(path.stem for path in (ROOT / "configs" / "baselines").glob("*.json"))
CLASS_ONLY = ("efficientnet_b0", "no_segmentation", "resnet50", "vgg16")


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_baseline_differs_from_our_training_in_its_network_alone(name):
    changed = json.loads((ROOT / "configs" / "baselines" / f"{name}.json").read_text())
    assert {key.partition("::")[0] for key in changed} <= {"network_def", "pretrained", "amp"}
    network = make_workflow("train", f"baselines/{name}", class_names=["a", "b", "no_tumor"]).parser
    told = re.search(
        rf"^\| `{name}\.json` \|[^|]+\| ([\d,]+) \|", (ROOT / "docs/reference/network.md").read_text(), re.MULTILINE
    )
    with torch.device("meta"):  # to be counted, weights need not be drawn
        four_classes = make_workflow("train", f"baselines/{name}").parser.get_parsed_content("network_def")
    assert int(told[1].replace(",", "")) == sum(values.numel() for values in four_classes.parameters())
    output = network.get_parsed_content("network_def").eval()(torch.zeros(1, 3, 64, 64))
    assert output["class"].shape == (1, 3)
    assert ("mask" in output) == (name not in CLASS_ONLY)


def test_efficientnet_uses_mixed_precision_on_cuda_alone():
    # its depthwise convolutions are slower in bfloat16 on a CPU: benchmarks.training
    files = [str(ROOT / "configs" / f"{name}.json") for name in ("train", "baselines/efficientnet_b0")]
    for device, used in (("cpu", False), ("cuda", True)):
        parser = ConfigParser(ConfigParser.load_config_files(files))
        parser["device"] = device
        assert parser.get_parsed_content("amp") is used


@pytest.mark.parametrize("name", ["efficientnet_b0", "no_attention"])
def test_it_trains_and_is_evaluated_with_masks_only_where_it_has_them(name, phantom_dataset, tmp_path):
    settings = {**places(phantom_dataset, tmp_path), "epochs": 1, "device": "cpu"}
    run_workflow(make_workflow("train", f"baselines/{name}", **settings))
    (epoch,) = read_table(tmp_path / "out" / "history.csv")
    assert epoch["val_accuracy"]
    assert ("val_mean_dice" in epoch) == (name not in CLASS_ONLY)
    run_workflow(make_workflow("train", f"baselines/{name}", "evaluate", **settings))
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert measured["classification"]["accuracy"]["value"] is not None
    tumours = measured["segmentation"]["tumour_slices"]
    empty = measured["segmentation"]["no_tumour_slices"]
    if name in CLASS_ONLY:
        assert tumours["n"] == 0
        assert tumours["dice"]["value"] is None
        assert measured["slices"]["mask_known"] == 0
        assert empty["n"] == 0
    else:
        assert tumours["n"] > 0
        assert empty["n"] > 0
