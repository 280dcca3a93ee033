"""Attention against an independent computation in NumPy, and its start as the identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn

from braintumor_ext.networks import CBAM, ChannelAttention, ReZeroAttention, SpatialAttention


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def reference_channel_gate(x: np.ndarray, w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
    """Equation 2 of the paper for one image (C, H, W): one MLP, shared by both poolings."""

    def mlp(v: np.ndarray) -> np.ndarray:
        return w2 @ np.maximum(w1 @ v, 0)

    return sigmoid(mlp(x.mean((1, 2))) + mlp(x.max((1, 2))))


def reference_spatial_gate(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Equation 3 of the paper for one image (C, H, W); kernel (2, 7, 7) on [mean, maximum]."""
    planes = [x.mean(0), x.max(0)]
    return sigmoid(sum(correlate2d(p, k, mode="same") for p, k in zip(planes, kernel, strict=True)))


def test_cbam_equals_the_papers_equations():
    torch.manual_seed(0)
    block = CBAM(32, reduction=16).double()
    x = torch.randn(3, 32, 9, 11, dtype=torch.float64)
    w1, w2 = (block.channel.mlp[i].weight.detach().numpy()[:, :, 0, 0] for i in (0, 2))
    kernel = block.spatial.conv.weight.detach().numpy()[0]
    expected = []
    for image in x.numpy():
        image = image * reference_channel_gate(image, w1, w2)[:, None, None]
        expected.append(image * reference_spatial_gate(image, kernel))
    np.testing.assert_allclose(block(x).detach().numpy(), np.stack(expected), rtol=1e-10)


def test_the_hidden_layer_is_the_channels_divided_by_the_reduction_and_never_empty():
    assert ChannelAttention(256, 16).mlp[0].out_channels == 16
    assert ChannelAttention(8, 16).mlp[0].out_channels == 1


def test_two_gates_scale_a_stage_to_about_a_quarter_at_the_start():
    torch.manual_seed(0)
    x = torch.rand(4, 256, 14, 14)
    ratio = (CBAM(256)(x).mean() / x.mean()).item()
    assert 0.15 < ratio < 0.35


def test_rezero_attention_starts_as_the_identity_and_reaches_the_plain_block_at_one():
    torch.manual_seed(0)
    block, x = CBAM(64), torch.randn(2, 64, 8, 8)
    torch.testing.assert_close(ReZeroAttention(block)(x), x, rtol=0, atol=0)
    torch.testing.assert_close(ReZeroAttention(block, alpha=1.0)(x), block(x))


def test_alpha_is_learnt_from_the_first_step_and_then_the_attention():
    torch.manual_seed(0)
    module, x = ReZeroAttention(CBAM(16)), torch.randn(2, 16, 8, 8)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
    assert module.alpha.item() != 0
    assert module.attention.channel.mlp[0].weight.grad.abs().sum() > 0


def test_checkpoints_that_know_alpha_by_its_former_name_load():
    module = ReZeroAttention(CBAM(16), alpha=0.3)
    state = {name.replace("alpha", "blend"): value for name, value in nn.Sequential(module).state_dict().items()}
    loaded = nn.Sequential(ReZeroAttention(CBAM(16)))
    loaded.load_state_dict(state)
    assert loaded[0].alpha.item() == pytest.approx(0.3)


@pytest.mark.parametrize("call", [lambda: SpatialAttention(6), lambda: ChannelAttention(0), lambda: CBAM(8, 0)])
def test_impossible_sizes_are_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()
