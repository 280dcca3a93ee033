"""The network in bfloat16: where it rounds, and that nothing of it stays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.networks import BrainTumorNet, bfloat16_stages, has_bfloat16_stages


@pytest.fixture(scope="module", params=[True, False], ids=["attention", "no attention"])
def network(request) -> BrainTumorNet:
    torch.manual_seed(0)
    found = BrainTumorNet(attention=request.param).eval()
    for name, parameter in found.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, 0.5)
    return found


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def convolution_types(network: BrainTumorNet, images: torch.Tensor) -> dict[str, torch.dtype]:
    """The type that each convolution and linear layer gives."""
    types: dict[str, torch.dtype] = {}
    layers = {n: m for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: types.__setitem__(name, output.dtype))
        for name, module in layers.items()
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return types


def test_deep_stages_and_decoder_compute_in_bfloat16_and_the_rest_in_float32(network, images):
    with bfloat16_stages(network):
        types = convolution_types(network, images)
    exact = ("encoder.conv1", "encoder.layer1", "encoder.attention1", "classifier")
    assert {t for name, t in types.items() if name.startswith(exact)} == {torch.float32}
    assert {t for name, t in types.items() if not name.startswith(exact)} == {torch.bfloat16}
    assert set(convolution_types(network, images).values()) == {torch.float32}


def test_outputs_are_float32_and_near(network, images):
    with torch.no_grad():
        exact = network(images)
        with bfloat16_stages(network):
            rounded = network(images)
        again = network(images)
    for name, value in exact.items():
        assert rounded[name].dtype == torch.float32
        assert not torch.equal(rounded[name], value)
        assert (rounded[name] - value).abs().max() < 0.05 * value.abs().max()  # 8 significant bits, 50 layers
        assert torch.equal(again[name], value)


def test_it_ends_with_an_error_too(network, images):
    with pytest.raises(ZeroDivisionError), bfloat16_stages(network):
        raise ZeroDivisionError
    assert set(convolution_types(network, images).values()) == {torch.float32}


def test_another_network_is_refused():
    assert not has_bfloat16_stages(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="a BrainTumorNet is needed, got Conv2d"), bfloat16_stages(nn.Conv2d(1, 1, 1)):
        pass


def test_grad_cam_goes_with_the_prediction_in_bfloat16_and_other_explanations_stay_exact(network, images):
    def run(**arguments):
        with torch.no_grad():
            return ExplainingInferer(**arguments)(images, network)

    plain = run(explain="none", bfloat16=True)
    explained, exact = run(explain="gradcam", bfloat16=True), run(explain="gradcam")
    torch.testing.assert_close(explained["class"], plain["class"])
    torch.testing.assert_close(explained["mask"], plain["mask"])
    assert not torch.equal(explained["class"], exact["class"])
    assert explained["heat_map"].dtype == torch.float32
    # Random weights give small numbers, which the map's scaling to 1 makes large: how far it moves depends on the CPU.
    for rounded, right in zip(explained["heat_map"], exact["heat_map"], strict=True):
        assert torch.corrcoef(torch.stack([rounded.flatten(), right.flatten()]))[0, 1] > 0.95
    for how in ({"head": "mask"}, {"layer": "encoder.layer3"}):
        careful, wanted = run(explain="gradcam", bfloat16=True, **how), run(explain="gradcam", **how)
        for name in ("class", "mask", "heat_map", "features"):
            torch.testing.assert_close(careful[name], wanted[name], rtol=0, atol=0)


def test_features_are_float32_means_of_what_the_stages_give(network, images):
    with torch.no_grad():
        rounded = ExplainingInferer("none", bfloat16=True)(images, network)["features"]
        exact = ExplainingInferer("none")(images, network)["features"]
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded[:, :256], exact[:, :256])  # the first stage's
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).abs().max() < 0.05 * exact.max()
