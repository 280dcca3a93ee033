"""Activations and gradients at a layer: each image's own, nothing left behind, nothing done in vain."""

from __future__ import annotations

from typing import Any

import monai.visualize
import pytest
import torch
from torch import Tensor, nn

from braintumor_ext.explain import ActivationGradients, layer_names, to_unit_range
from braintumor_ext.networks import BrainTumorNet, HeadView
from tests.explain.conftest import PREDICTED

LAYER = "encoder.attention4"


def monai_map(network: nn.Module, x: Tensor, classes: Any = None) -> Tensor:
    """The raw map of monai's own GradCAM; the view is there for the call only, since its hooks would stay."""
    cam = monai.visualize.GradCAM(HeadView(network, "class").eval(), f"network.{LAYER}", postprocessing=lambda m: m)
    with torch.enable_grad():
        found = cam(x.clone().requires_grad_(), class_idx=classes).detach()
    network.zero_grad(set_to_none=True)
    for module in network.modules():
        module._forward_hooks.clear()
        module._backward_hooks.clear()
    return found


def our_map(network: nn.Module, x: Tensor, classes: Any = None, layer: str = LAYER) -> Tensor:
    cam = monai.visualize.GradCAM(ActivationGradients(network, layer), layer, postprocessing=lambda m: m)
    return cam(x, class_idx=classes)


def test_predictions_differ_so_that_mixing_would_show(network: BrainTumorNet, images: Tensor):
    with torch.no_grad():
        assert network(images)["class"].argmax(1).tolist() == PREDICTED


def test_a_batch_gives_what_monai_gives_one_by_one(network: BrainTumorNet, images: Tensor):
    alone = torch.cat([monai_map(network, images[i : i + 1], classes=c) for i, c in enumerate(PREDICTED)])
    assert alone.amax() > 0
    torch.testing.assert_close(our_map(network, images), alone, rtol=1e-4, atol=1e-6 * float(alone.max()))


def test_monai_itself_mixes_the_images_of_a_batch(network: BrainTumorNet, images: Tensor):
    """The reason for this class; when it fails, monai is mended and the class can go."""
    mixed, ours = to_unit_range(monai_map(network, images)), to_unit_range(our_map(network, images))
    assert (mixed - ours).abs().max() > 0.3


def test_nothing_is_left_behind(network: BrainTumorNet, images: Tensor):
    network.train()
    try:
        ActivationGradients(network, LAYER)(images)
        assert all(module.training for module in network.modules())
    finally:
        network.eval()
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert torch.is_grad_enabled()
    assert images.grad is None
    assert not images.requires_grad


def test_nothing_is_left_behind_by_a_network_that_fails(images: Tensor):
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.conv(x)
            raise RuntimeError("out of memory")

    network = Failing()
    with pytest.raises(RuntimeError, match="out of memory"):
        ActivationGradients(network, "conv")(images)
    assert not network.conv._forward_hooks
    assert torch.is_grad_enabled()


def test_gradients_stop_at_the_layer(network: BrainTumorNet, images: Tensor):
    """A layer before it that cannot be differentiated at all does no harm."""

    class NoWayBack(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            raise AssertionError("a gradient flowed through the encoder")

    expected = our_map(network, images)
    handle = network.encoder.layer4.register_forward_hook(lambda module, inputs, output: NoWayBack.apply(output))
    try:
        torch.testing.assert_close(our_map(network, images), expected)
    finally:
        handle.remove()


def test_the_output_is_that_of_a_plain_forward_pass(network: BrainTumorNet, images: Tensor):
    output, (activations,), (gradients,) = ActivationGradients(network, LAYER)(images)
    with torch.no_grad():
        expected = network(images)
        features = network.encoder(images)[-1]
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(activations, features)
    assert gradients.shape == features.shape
    assert not any(t.requires_grad for t in (*output.values(), activations, gradients))


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_works_whether_gradients_are_enabled_or_not(context: Any, network: BrainTumorNet, images: Tensor):
    expected = our_map(network, images)
    with context():
        torch.testing.assert_close(our_map(network, images), expected)


def test_float32_under_autocast(network: BrainTumorNet, images: Tensor):
    expected = our_map(network, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = our_map(network, images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_a_layer_whose_successor_works_in_place(network: BrainTumorNet, images: Tensor):
    """``bn1`` is followed by an in-place ReLU, which must not change the activations that are kept."""
    _, (activations,), _ = ActivationGradients(network, "encoder.bn1")(images)
    with torch.no_grad():
        torch.testing.assert_close(activations, network.encoder.bn1(network.encoder.conv1(images)))
    assert activations.min() < 0


def test_the_input_gradient_without_a_layer(network: BrainTumorNet, images: Tensor):
    x = images.clone()
    ActivationGradients(network)(x, class_idx=2)
    reference = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(network(reference)["class"][:, 2].sum(), reference)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected)


def test_an_unknown_layer_lists_the_valid_ones(network: BrainTumorNet):
    with pytest.raises(
        ValueError, match=r"no layer 'encoder\.atention4'.*Did you mean 'encoder\.attention4'"
    ) as caught:
        ActivationGradients(network, "encoder.atention4")
    assert all(name in str(caught.value) for name in layer_names(network))


def test_a_layer_that_the_head_does_not_read(network: BrainTumorNet, images: Tensor):
    with pytest.raises(ValueError, match=r"'decoder\.head' has no influence on what is explained"):
        ActivationGradients(network, "decoder.head")(images)


def test_a_layer_that_never_runs(images: Tensor):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.add_module("spare", nn.Identity())
    network.forward = lambda x: network[2](network[1](network[0](x)))  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="'spare' has no part in the network's forward pass"):
        ActivationGradients(network, "spare")(images)


def test_several_layers_are_refused(network: BrainTumorNet):
    with pytest.raises(ValueError, match="one layer at a time"):
        ActivationGradients(network, ("encoder.layer3", "encoder.layer4"))
