"""The encoder beside torchvision's own ResNet50."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model, resnet50

from braintumor_ext.errors import InputError
from braintumor_ext.networks import AttentionResNet, BrainTumorNet, load_encoder, load_pretrained
from braintumor_ext.networks.pretrained import adapt_first_convolution


@pytest.fixture(scope="module")
def torchvision_net():
    torch.manual_seed(1)
    net = resnet50(weights=None).eval()
    for module in net.modules():  # running statistics that are not the defaults, so that forgetting them would show
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return net


def reference_stages(net, x):
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    out = []
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        out.append(x)
    return out


@pytest.mark.parametrize("attention", [True, False])
def test_pretrained_features_pass_unchanged_at_the_start(torchvision_net, attention):
    encoder = AttentionResNet(attention=attention).eval()
    load_encoder(encoder, torchvision_net.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(encoder(x), reference_stages(torchvision_net, x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_an_output_stride_of_16_dilates_the_last_stage_with_the_same_weights():
    encoder = AttentionResNet(attention=False, output_stride=16).eval()
    reference = resnet50(weights=None, replace_stride_with_dilation=[False, False, True]).eval()
    load_encoder(encoder, reference.state_dict())
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        features = encoder(x)
        for ours, theirs in zip(features, reference_stages(reference, x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert [tuple(f.shape[2:]) for f in features] == [(16, 24), (8, 12), (4, 6), (4, 6)]
    with pytest.raises(ValueError, match="8"):
        AttentionResNet(output_stride=8)
    with pytest.raises(ValueError, match="resnet18"):
        AttentionResNet("resnet18", output_stride=16)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet101"])
def test_an_encoder_of_another_name_is_torchvisions(name):
    encoder = AttentionResNet(name, attention=False).eval()
    reference = get_model(name, weights=None).eval()
    load_encoder(encoder, reference.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features = encoder(x)
        for ours, theirs in zip(features, reference_stages(reference, x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert tuple(f.shape[1] for f in features) == encoder.channels


def test_plain_attention_would_wreck_pretrained_features(torchvision_net):
    """Why the blend exists: four stages of two sigmoid gates each leave little of C5."""
    encoder = AttentionResNet().eval()
    for block in (encoder.attention1, encoder.attention2, encoder.attention3, encoder.attention4):
        block.alpha.data.fill_(1)
    load_encoder(encoder, torchvision_net.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = encoder(x)[3], reference_stages(torchvision_net, x)[3]
    assert ours.norm() < 0.3 * theirs.norm()


def test_all_keys_but_the_attentions_are_torchvisions(torchvision_net):
    ours = {key for key in AttentionResNet().state_dict() if not key.startswith("attention")}
    assert ours == {key for key in torchvision_net.state_dict() if not key.startswith("fc.")}


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_grey_image_gives_the_same_first_features_in_any_number_of_channels(torchvision_net, channels):
    weight = torchvision_net.conv1.weight
    grey = torch.randn(1, 1, 32, 32)
    expected = torch.nn.functional.conv2d(grey.repeat(1, 3, 1, 1), weight)
    adapted = adapt_first_convolution(weight, channels)
    actual = torch.nn.functional.conv2d(grey.repeat(1, channels, 1, 1), adapted)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_a_state_dict_is_given_by_path(torchvision_net, tmp_path):
    torch.save(torchvision_net.state_dict(), tmp_path / "resnet50.pth")
    net = BrainTumorNet(in_channels=1)
    load_pretrained(net, str(tmp_path / "resnet50.pth"))
    torch.testing.assert_close(net.encoder.layer4[2].conv3.weight, torchvision_net.layer4[2].conv3.weight)
    torch.testing.assert_close(net.encoder.conv1.weight, torchvision_net.conv1.weight.sum(1, keepdim=True))


def test_another_networks_state_dict_is_refused_by_name(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(InputError, match=r"other\.pth.*missing bn1.*unexpected bias"):
        load_pretrained(BrainTumorNet(), str(path))


def test_pretrained_false_leaves_the_weights_alone():
    net = BrainTumorNet()
    before = net.encoder.conv1.weight.clone()
    load_pretrained(net, False)
    assert torch.equal(net.encoder.conv1.weight, before)


def test_a_failed_download_says_what_to_give_instead(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # an address that refuses at once, on this machine
    monkeypatch.setattr("torch.hub.urlopen", lambda *a, **k: (_ for _ in ()).throw(OSError("refused")))
    with pytest.raises(InputError, match=r"--pretrained PATH.*--pretrained false"):
        load_pretrained(BrainTumorNet(), True)
