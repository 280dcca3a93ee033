"""The inferer that also says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from braintumor_ext.explain import METHODS, Explainer, ExplainingInferer
from braintumor_ext.networks import BrainTumorNet, HeadView
from tests.bundle.tiny_net import TinyNet


def test_adds_the_map_and_the_features_of_one_forward_pass(network: BrainTumorNet, images: Tensor):
    passes: list[int] = []
    handle = network.encoder.conv1.register_forward_hook(lambda *_: passes.append(1))
    try:
        with torch.no_grad():
            found = ExplainingInferer("gradcam")(images, network)
    finally:
        handle.remove()
    assert len(passes) == 1
    explanation = Explainer(network, "gradcam")(images)
    torch.testing.assert_close(found["heat_map"], explanation.maps)
    assert found["heat_map_flags"] == explanation.flags
    with torch.no_grad():
        torch.testing.assert_close({name: found[name] for name in ("class", "mask")}, network(images))
        stages = network.encoder(images)
    torch.testing.assert_close(found["features"], torch.cat([stage.mean((2, 3)) for stage in stages], dim=1))


@pytest.mark.parametrize("value", ["none", None, "", "None", False])
def test_none_gives_the_prediction_and_the_features_alone(value: str | None, network: BrainTumorNet, images: Tensor):
    with torch.no_grad():
        found = ExplainingInferer(value)(images, network)
        assert found.pop("features").shape == (len(images), 3840)
        torch.testing.assert_close(found, network(images))


def test_features_are_those_of_the_prediction_though_a_method_runs_the_network_again(
    network: BrainTumorNet, images: Tensor
):
    plain = ExplainingInferer("none")(images[:1], network)["features"]
    torch.testing.assert_close(ExplainingInferer("attention")(images[:1], network)["features"], plain)


def test_a_network_without_stages_gives_no_features(images: Tensor):
    found = ExplainingInferer("gradcam", layer="norm")(images, TinyNet().eval())
    assert set(found) == {"class", "mask", "heat_map", "heat_map_flags"}


def test_a_view_of_one_head_stays_one_tensor(network: BrainTumorNet, images: Tensor):
    view = HeadView(network, "mask").eval()
    with torch.no_grad():
        torch.testing.assert_close(ExplainingInferer("none")(images, view), network(images)["mask"])


def test_an_unknown_method_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"--explain: there is no method 'lime'\. Valid are none, ") as caught:
        ExplainingInferer("lime")
    assert all(method in str(caught.value) for method in METHODS)


def test_hooks_are_gone(network: BrainTumorNet, images: Tensor, tmp_path: Path):
    ExplainingInferer("gradcam")(images, network)
    assert not any(module._forward_hooks for module in network.modules())
