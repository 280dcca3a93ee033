"""The networks that ours is compared with."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet
from torchvision.models import get_model

from braintumor_ext.errors import InputError
from braintumor_ext.networks import BrainTumorNet, ClassifierBaseline, UNetBaseline, load_pretrained
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


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0"])
def test_a_classifier_takes_the_weights_of_its_own_kind_but_for_the_last_layer(name, tmp_path):
    published = get_model(name, weights=None)  # 1000 classes, as torchvision's files
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    network = ClassifierBaseline(name)
    load_pretrained(network, str(tmp_path / "weights.pth"))
    own, given = network.classifier.state_dict(), published.state_dict()
    same = {key for key in own if own[key].shape == given[key].shape and torch.equal(own[key], given[key])}
    last = "fc." if name == "resnet50" else "classifier.1."
    assert {key for key in own if key not in same} == {f"{last}weight", f"{last}bias"}


def test_weights_of_another_kind_are_refused(tmp_path):
    torch.save(get_model("resnet50", weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"not a efficientnet_b0 state dict.*Give the file that torchvision publishes"):
        load_pretrained(ClassifierBaseline("efficientnet_b0"), str(tmp_path / "weights.pth"))


def test_a_network_without_published_weights_says_to_start_from_random_ones():
    with pytest.raises(InputError, match=r"no ImageNet weights for a UNetBaseline.*--pretrained false"):
        load_pretrained(UNetBaseline(), True)
