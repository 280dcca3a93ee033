"""The networks that ours is compared with."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet

from braintumor_ext.errors import InputError
from braintumor_ext.networks import BrainTumorNet, ClassifierBaseline, UNetBaseline
from braintumor_ext.networks.baselines import CLASSIFIERS


def parameters(network: torch.nn.Module) -> int:
    return sum(values.numel() for values in network.parameters())


@pytest.mark.parametrize(
    ("name", "of_1000_classes", "last_inputs"),
    # torchvision's documented counts for ImageNet, and the inputs of the layer that grows with the classes
    [("resnet50", 25_557_032, 2048), ("vgg16", 138_357_544, 4096), ("efficientnet_b0", 5_288_548, 1280)],
)
def test_classifiers_are_torchvision_s_with_four_classes(name, of_1000_classes, last_inputs):
    network = ClassifierBaseline(name, num_classes=4).eval()
    assert parameters(network) == of_1000_classes - 996 * (last_inputs + 1)
    with torch.no_grad():
        output = network(torch.zeros(2, 3, 64, 64))
    assert output.keys() == {"class"}
    assert output["class"].shape == (2, 4)


def test_the_unet_is_monai_s_with_a_class_from_its_deepest_features():
    torch.manual_seed(0)
    network = UNetBaseline().eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        output = network(images)
        assert torch.allclose(output["mask"], BasicUNet.forward(network, images), atol=1e-6)
    assert output["class"].shape == (2, 4)
    assert parameters(network) - parameters(network.classifier) == pytest.approx(31.0e6, rel=0.01)


def test_our_network_without_segmentation_gives_the_same_classes():
    torch.manual_seed(0)
    whole = BrainTumorNet().eval()
    alone = BrainTumorNet(segmentation=False).eval()
    alone.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("decoder.")})
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        output = alone(images)
        assert torch.equal(output["class"], whole(images)["class"])
    assert output.keys() == {"class"}
    assert torch.jit.script(alone)(images).keys() == {"class"}


def test_what_does_not_exist_is_refused_with_what_does():
    with pytest.raises(InputError, match=f"there is no such classifier. Give one of {', '.join(CLASSIFIERS)}"):
        ClassifierBaseline("resnet51")
    with pytest.raises(InputError, match=r"it takes 3 channels, not 1"):
        ClassifierBaseline("vgg16", in_channels=1)
