"""The whole network: shapes, both heads against plain computations, TorchScript, checkpoints."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from monai.networks.utils import eval_mode
from torch.utils.flop_counter import FlopCounterMode

from braintumor_ext.errors import InputError
from braintumor_ext.networks import BrainTumorNet, ClassView, HeadView, SegmentationDecoder, load_weights


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return BrainTumorNet().eval()


@pytest.mark.parametrize(
    ("kwargs", "shape", "classes"),
    [
        ({}, (2, 3, 224, 224), 4),
        ({"num_classes": 2, "in_channels": 1}, (1, 1, 32, 32), 2),
        ({"attention": False, "in_channels": 5}, (1, 5, 65, 97), 4),
    ],
)
def test_outputs_have_the_inputs_size(kwargs, shape, classes):
    with torch.no_grad():
        out = BrainTumorNet(**kwargs).eval()(torch.randn(shape))
    assert out["class"].shape == (shape[0], classes)
    assert out["mask"].shape == (shape[0], 1, *shape[2:])


def test_an_image_below_32_pixels_is_refused(net):
    with pytest.raises(ValueError, match="at least 32 x 32 pixels, got 31 x 40"):
        net(torch.zeros(1, 3, 31, 40))


def test_the_classification_head_is_pooling_and_two_layers(net):
    with torch.no_grad():
        x = torch.randn(2, 3, 64, 64)
        c5 = net.encoder(x)[3]
        first, last = net.classifier[2], net.classifier[5]
        assert (first.in_features, first.out_features, last.out_features) == (2048, 1024, 4)
        expected = torch.relu(c5.mean((2, 3)) @ first.weight.T + first.bias) @ last.weight.T + last.bias
        torch.testing.assert_close(net(x)["class"], expected, rtol=1e-4, atol=1e-3)
    assert net.classifier[4].p == 0.5


@pytest.mark.parametrize("activation", [False, True])
def test_the_decoder_is_a_feature_pyramid_summed_on_c2s_grid(activation):
    torch.manual_seed(0)
    channels, size = (8, 16, 24, 32), 32
    decoder = SegmentationDecoder(channels, pyramid_channels=6, activation=activation)
    features = [torch.randn(2, c, size // 2**i, size // 2**i) for i, c in enumerate(channels)]
    inner, outer = decoder.pyramid.inner_blocks, decoder.pyramid.layer_blocks
    # the pyramid of the paper, written out: lateral 1x1, top-down nearest, 3x3 on each level
    top = F.conv2d(features[3], inner[3].weight, inner[3].bias)
    levels = [F.conv2d(top, outer[3].weight, outer[3].bias, padding=1)]
    for i in (2, 1, 0):
        top = F.conv2d(features[i], inner[i].weight, inner[i].bias) + top.repeat_interleave(2, 2).repeat_interleave(
            2, 3
        )
        levels.insert(0, F.conv2d(top, outer[i].weight, outer[i].bias, padding=1))
    if activation:  # group normalisation in gcd(32, 6) = 2 groups, then ReLU
        for v in levels:
            groups = v.view(2, 2, -1)  # a view: changes the level itself
            groups -= groups.mean(2, keepdim=True)
            groups /= (groups.square().mean(2, keepdim=True) + 1e-5).sqrt()
            v.clamp_(min=0)
    upsampled = [F.interpolate(v, scale_factor=2**i, mode="bilinear") if i else v for i, v in enumerate(levels)]
    logits = torch.einsum("bchw,oc->bohw", sum(upsampled), decoder.head.weight[:, :, 0, 0]) + decoder.head.bias
    expected = F.interpolate(logits, size=(128, 128), mode="bilinear")
    torch.testing.assert_close(decoder(features, 128, 128), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", [False, True])
def test_only_an_activated_pyramid_combines_what_fine_and_coarse_features_say(activation):
    torch.manual_seed(0)
    decoder = SegmentationDecoder((8, 8, 8, 8), pyramid_channels=32, activation=activation)
    features = [torch.randn(1, 8, 16 // 2**i, 16 // 2**i) for i in range(4)]
    nothing = [torch.zeros_like(f) for f in features]

    def logits(fine, coarse):
        with torch.no_grad():
            return decoder([*(features if fine else nothing)[:2], *(features if coarse else nothing)[2:]], 64, 64)

    both = logits(True, True) + logits(False, False)
    assert torch.allclose(both, logits(True, False) + logits(False, True), atol=1e-4) is not activation


@pytest.mark.parametrize("pyramid_activation", [False, "true"])
def test_it_scripts_and_gives_the_same(pyramid_activation):
    net = BrainTumorNet(pyramid_activation=pyramid_activation).eval()
    scripted = torch.jit.script(net)
    x = torch.randn(1, 3, 48, 64)
    with torch.no_grad():
        ours, theirs = net(x), scripted(x)
    torch.testing.assert_close(ours, theirs)


def test_views_share_weights_and_give_one_tensor(net):
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for head in ("class", "mask"):
            view = HeadView(net, head)
            assert next(view.parameters()).data_ptr() == next(net.parameters()).data_ptr()
            torch.testing.assert_close(view(x), net(x)[head])


def test_the_number_of_values_is_what_the_docs_say(net):
    assert sum(p.numel() for p in net.parameters()) == 27_390_545


def test_its_arithmetic_is_at_most_1_35_times_that_of_torchvisions_resnet50():
    def flops(kind):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            kind().eval()(torch.zeros(1, 3, 224, 224))
        return counter.get_total_flops()

    reference = flops(torchvision.models.resnet50)
    assert reference == pytest.approx(2 * 4.09e9, rel=0.01)  # 4.09 GMACs, torchvision's own figure
    assert flops(BrainTumorNet) <= 1.35 * reference


def test_a_checkpoint_of_another_architecture_names_what_differs(net, tmp_path):
    torch.save(BrainTumorNet(num_classes=3).state_dict(), tmp_path / "three.pt")
    with pytest.raises(InputError, match=r"three\.pt.*classifier\.5\.bias \(3,\) instead of \(4,\).*class_names"):
        load_weights(net, tmp_path / "three.pt")


@pytest.mark.parametrize("content", [{"model": {"a": torch.zeros(1)}}, [1, 2]])
def test_a_nested_checkpoint_is_refused_not_silently_skipped(net, tmp_path, content):
    torch.save(content, tmp_path / "nested.pt")
    with pytest.raises(InputError, match="not a flat state dict"):
        load_weights(net, tmp_path / "nested.pt")


def test_a_broken_or_missing_checkpoint_is_named(net, tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"broken\.pt: not a readable PyTorch checkpoint"):
        load_weights(net, tmp_path / "broken.pt")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_weights(net, tmp_path / "absent.pt")


@pytest.mark.parametrize("training", [True, False])
def test_a_view_is_in_its_network_s_mode_and_leaves_it_there(training):
    network = BrainTumorNet().train(training)
    for view in (HeadView(network, "class"), ClassView(network)):
        with eval_mode(view):
            assert not network.classifier.training
        assert network.classifier.training is training


def test_the_class_alone_is_that_of_the_whole_network():
    network = BrainTumorNet().eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.classify(x), network(x)["class"])
        torch.testing.assert_close(ClassView(network)(x), network(x)["class"])
    with pytest.raises(ValueError, match="at least 32 x 32"):
        network.classify(torch.zeros(1, 3, 31, 64))
