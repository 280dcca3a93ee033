"""Heat maps by each method: right for batches, by the published recipes, and clear about what cannot be explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from braintumor_ext.explain import METHODS, Explainer
from braintumor_ext.explain.explainer import FLAT_MAP, NO_PIXEL, OCCLUDED_SHARE
from braintumor_ext.networks import BrainTumorNet
from braintumor_ext.transforms import read_grey
from tests.bundle.tiny_net import TinyNet

MANY_PASSES = ("occlusion", "smoothgrad")
QUICK = {"n_samples": 2, "n_batch": 64}
CLASSES = ("glioma", "meningioma", "pituitary", "no_tumor")


class Corner(nn.Module):
    """Two classes and a mask that read nothing but one corner: where evidence lies is known."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.features(x)
        corner = x[:, :1, :16, :16].mean((2, 3))
        mask = torch.full_like(x[:, :1], -1.0)
        mask[:, :, :16, :16] = 4 * x[:, :1, :16, :16]
        return {"class": torch.cat([corner, 1 - corner], dim=1), "mask": mask}


def by_hand(x: Tensor, activations: Tensor, score: Tensor, plus: bool = False) -> Tensor:
    """The published map of one image: its own graph, nothing from MONAI and nothing of ours.

    Grad-CAM, equations 1 and 2 of https://arxiv.org/abs/1610.02391; Grad-CAM++, equations 10 and 19 of
    https://arxiv.org/abs/1710.11063, for the score's exponential: its derivatives are powers of the gradient.
    """
    (gradient,) = torch.autograd.grad(score, activations)
    if plus:
        power2, power3 = gradient**2, gradient**3
        below = 2 * power2 + (activations * power3).sum((2, 3), keepdim=True)
        alpha = power2 / (torch.where(below != 0, below, 1.0) + 1e-7)
        weights = (alpha * F.relu(score.exp() * gradient)).sum((2, 3), keepdim=True)
    else:
        weights = gradient.mean((2, 3), keepdim=True)
    raw = F.relu((weights * activations).sum(1, keepdim=True))
    large = F.interpolate(raw, size=x.shape[2:], mode="bilinear", align_corners=False)
    return ((large - large.min()) / (large.max() - large.min())).detach()


def graph_of(network: BrainTumorNet, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Activations of the encoder's last stage, class logits and mask logits of one image, connected."""
    features = network.encoder(image)
    features[3] = features[3].detach().requires_grad_()
    return features[3], network.classifier(features[3]), network.decoder(features, *image.shape[2:])


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_equal_to_the_published_recipe(method: str, network: BrainTumorNet, images: Tensor):
    found = Explainer(network, method)(images)
    for index, image in enumerate(images):
        activations, logits, _ = graph_of(network, image[None])
        expected = by_hand(image[None], activations, logits.max(), plus=method == "gradcam++")
        torch.testing.assert_close(found.maps[index : index + 1], expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++"])
def test_the_mask_s_map_explains_the_mean_logit_in_the_mask(method: str, network: BrainTumorNet, images: Tensor):
    found = Explainer(network, method, head="mask")(images)
    for index, image in enumerate(images):
        activations, _, logits = graph_of(network, image[None])
        if not (logits > 0).any():
            assert found.flags[index] == NO_PIXEL
            assert found.maps[index].max() == 0
            continue
        expected = by_hand(image[None], activations, logits[logits > 0].mean(), plus=method == "gradcam++")
        torch.testing.assert_close(found.maps[index : index + 1], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("head", ["class", "mask"])
@pytest.mark.parametrize("method", METHODS)
def test_an_image_has_the_same_map_alone_and_in_any_batch(
    method: str, head: str, network: BrainTumorNet, small_network: TinyNet, images: Tensor
):
    if method in MANY_PASSES:
        explain = Explainer(small_network, method, layer="norm", head=head, **QUICK)
    else:
        explain = Explainer(network, method, head=head)
    together = explain(images)
    backwards = explain(images.flip(0))
    for index in range(len(images)):
        alone = explain(images[index : index + 1])
        torch.testing.assert_close(together.maps[index], alone.maps[0], rtol=0, atol=2e-3)
        torch.testing.assert_close(together.maps[index], backwards.maps[-1 - index], rtol=0, atol=2e-3)
        assert together.flags[index] == alone.flags[0]


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_float32_within_0_and_1_and_the_prediction_is_the_network_s(
    method: str, network: BrainTumorNet, images: Tensor
):
    few = F.interpolate(images[:1], size=32) if method == "occlusion" else images[:1]  # 225 forward passes
    found = Explainer(network, method, **QUICK)(few)
    assert found.maps.shape == (1, 1, *few.shape[2:])
    assert found.maps.dtype == torch.float32
    assert (found.maps.min(), found.maps.max()) == (0, 1)
    with torch.no_grad():
        torch.testing.assert_close(found.output, network(few))


@pytest.mark.parametrize("method", METHODS)
def test_usable_in_inference_mode_and_leaves_nothing_behind(
    method: str, network: BrainTumorNet, small_network: TinyNet, images: Tensor
):
    layer = "encoder.attention4"
    if method in MANY_PASSES:
        network, layer = small_network, "norm"  # type: ignore[assignment]
    expected = Explainer(network, method, layer, **QUICK)(images[:1])
    state = torch.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = Explainer(network, method, layer, **QUICK)(images[:1] + 0)
    torch.testing.assert_close(found.maps, expected.maps)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in network.modules())
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in network.modules())


@pytest.mark.parametrize(
    "classes", [2, "pituitary", [2] * 6, ["pituitary"] * 6, torch.tensor([2] * 6), np.int64(2), torch.tensor(2)]
)
def test_one_class_for_all(classes: Any, network: BrainTumorNet, images: Tensor):
    explain = Explainer(network)
    torch.testing.assert_close(explain(images, classes).maps, explain(images, 2).maps)


def test_a_class_for_each_image(network: BrainTumorNet, images: Tensor):
    explain = Explainer(network)
    wanted = [3, 2, 1, 0, 1, 2]
    found = explain(images, wanted).maps
    named = explain(images, [CLASSES[index] for index in wanted]).maps
    torch.testing.assert_close(found, named)
    for index, (image, wish) in enumerate(zip(images, wanted, strict=True)):
        torch.testing.assert_close(found[index], explain(image[None], wish).maps[0], rtol=0, atol=2e-4)
    assert (found - explain(images).maps).abs().max() > 0.1


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("Glioma", "no class 'Glioma': valid are glioma, meningioma, pituitary, no_tumor"),
        (["glioma", "edema"] * 3, "no class 'edema': valid are"),
        (4, "valid class indices are 0 to 3, got 4"),
        (-1, "valid class indices are 0 to 3, got -1"),
        ([0, 1], "one for each of the 6 images"),
        (1.5, "one class index"),
    ],
)
def test_unknown_classes_list_the_valid_ones(classes: Any, message: str, network: BrainTumorNet, images: Tensor):
    with pytest.raises(ValueError, match=message):
        Explainer(network)(images, classes)


def test_unknown_methods_heads_and_layers_list_the_valid_ones(network: BrainTumorNet):
    with pytest.raises(ValueError, match=r"no method 'lime': valid are gradcam, gradcam\+\+, occlusion"):
        Explainer(network, "lime")
    with pytest.raises(ValueError, match="no head 'box': valid are class, mask"):
        Explainer(network, head="box")
    with pytest.raises(ValueError, match="no layer 'layer4'"):
        Explainer(network, layer="layer4")


@pytest.mark.parametrize("method", ["gradcam", "occlusion", "smoothgrad"])
@pytest.mark.parametrize(("given", "asked"), [("class", "mask"), ("mask", "class")])
def test_a_head_that_the_network_lacks_is_named(method: str, given: str, asked: str):
    class OneHead(Corner):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {given: super().forward(x)[given]}

    with pytest.raises(ValueError, match=f"no '{asked}' output to explain, only '{given}'"):
        Explainer(OneHead(), method, layer="features", head=asked)(torch.rand(2, 3, 32, 32))


@pytest.mark.parametrize(("head", "key"), [("class", "class"), ("mask", "mask")])
def test_a_network_that_gives_one_tensor(head: str, key: str):
    class Plain(Corner):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x)[key]

    x = torch.rand(2, 3, 32, 32)
    found = Explainer(Plain(), layer="features", head=head)(x)
    assert list(found.output) == [key]
    torch.testing.assert_close(found.maps, Explainer(Corner(), layer="features", head=head)(x).maps)


def test_an_empty_mask_gives_an_empty_map_and_a_flag():
    x = torch.rand(2, 3, 32, 32)
    x[1] = -1
    for method in ("gradcam", "gradcam++", "occlusion", "smoothgrad"):
        found = Explainer(Corner(), method, layer="features", head="mask", **QUICK)(x)
        assert found.maps[0].max() == 1, method
        assert found.maps[1].abs().max() == 0, method
        assert found.flags == ["", NO_PIXEL], method


def test_a_network_that_says_the_same_of_everything_has_empty_maps():
    class Stubborn(Corner):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            out = super().forward(x)
            return {**out, "class": out["class"] * 0 + torch.tensor([1.0, 0.0])}

    for method in ("gradcam", "gradcam++", "occlusion", "smoothgrad"):
        found = Explainer(Stubborn(), method, layer="features", **QUICK)(torch.rand(1, 3, 32, 32))
        assert found.maps.abs().max() == 0, method
        assert found.flags == [FLAT_MAP], method


@pytest.mark.parametrize("head", ["class", "mask"])
@pytest.mark.parametrize("method", ["occlusion", "smoothgrad"])
def test_pixel_methods_find_the_only_place_that_counts(method: str, head: str):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) + 0.5
    x[:, :, 24:] = 0.1  # so that a square of the mean value is darker than what it covers in the corner
    found = Explainer(Corner(), method, layer="features", head=head, n_samples=2)(x, 0).maps
    assert found[:, :, :16, :16].mean() > 0.2
    reach = 16 + (64 // OCCLUDED_SHARE if method == "occlusion" else 0)  # a square that still touches the corner
    assert found[:, :, reach:, :].max() == 0
    assert found[:, :, :, reach:].max() == 0


def test_smoothgrad_of_a_linear_network_is_its_weights():
    """The gradient is the same in all noisy copies; the channels' mean magnitude remains."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"class": (x[:, None] * self.weight[None]).sum((2, 3, 4))}

    network = Linear()
    magnitude = network.weight[1].detach().abs().mean(0)
    cut = magnitude.clamp_max(torch.quantile(magnitude, 0.99))
    expected = (cut - cut.min()) / (cut.max() - cut.min())
    found = Explainer(network, "smoothgrad", n_samples=3)(torch.rand(1, 3, 32, 32), 1).maps[0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_attention_shows_the_gate_of_the_layer(network: BrainTumorNet, images: Tensor):
    found = Explainer(network, "attention", layer="encoder.attention1")(images).maps
    with torch.no_grad():
        x = network.encoder.maxpool(network.encoder.relu(network.encoder.bn1(network.encoder.conv1(images))))
        block = network.encoder.attention1.attention
        gate = block.spatial.gate(block.channel(network.encoder.layer1(x)))
    large = F.interpolate(gate, size=images.shape[2:], mode="bilinear", align_corners=False)
    low, high = large.amin((1, 2, 3), keepdim=True), large.amax((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found, (large - low) / (high - low), rtol=0, atol=1e-4)


def test_attention_of_a_network_or_layer_without_any(network: BrainTumorNet, images: Tensor):
    with pytest.raises(ValueError, match="holds 0 spatial attentions, not one: the network has none"):
        Explainer(BrainTumorNet(attention=False).eval(), "attention")(images[:1])
    with pytest.raises(
        ValueError, match=r"'encoder' holds 4 spatial attentions, not one: valid are encoder\.attention1"
    ):
        Explainer(network, "attention", layer="encoder")(images[:1])


@pytest.mark.real_data
def test_real_slices_alone_and_in_a_batch(network: BrainTumorNet, brain_tumor_mri: Path):
    folders = sorted((brain_tumor_mri / "Training").iterdir())
    paths = [sorted(folder.iterdir())[index] for folder in folders for index in (0, 40)]
    greys = [torch.from_numpy(read_grey(path))[None, None] for path in paths]
    x = torch.cat([F.interpolate(grey, size=96, mode="bilinear", antialias=True) for grey in greys]).repeat(1, 3, 1, 1)
    x = (x - 0.45) / 0.226
    explain = Explainer(network)
    classes = [index % 4 for index in range(len(x))]
    together = explain(x, classes).maps
    for index, wish in enumerate(classes):
        torch.testing.assert_close(together[index], explain(x[index : index + 1], wish).maps[0], rtol=0, atol=1e-3)
