"""Convolutional block attention: which channels matter, then where (https://arxiv.org/abs/1807.06521)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from braintumor_ext.networks.fused_attention import fused_attention


class ChannelAttention(nn.Module):
    """Weigh the channels by one two-layer MLP shared between average and maximum pooling.

    ``x * sigmoid(MLP(avgpool(x)) + MLP(maxpool(x)))``, equation 2 of the paper.

    Args:
        reduction: the MLP's hidden layer has ``channels // reduction`` units, at least one.

    Raises:
        ValueError: when ``channels`` or ``reduction`` is not positive.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        if channels < 1 or reduction < 1:
            raise ValueError(f"channels and reduction must be positive, got {channels} and {reduction}.")
        hidden = max(channels // reduction, 1)
        # the paper's MLP has no biases: its only non-linearity is the hidden ReLU
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, kernel_size=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, kernel_size=1, bias=False),
        )

    def gate(self, x: Tensor) -> Tensor:
        """Return the weights, (B, C, 1, 1) in (0, 1), of ``x`` (B, C, H, W)."""
        average = _mean(x, [2, 3])
        maximum = x.amax(dim=[2, 3], keepdim=True)
        return torch.sigmoid(self.mlp(average) + self.mlp(maximum))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, H, W) with its channels weighed."""
        return x * self.gate(x)


class SpatialAttention(nn.Module):
    """Weigh the pixels by a convolution of the channels' mean and maximum, equation 3 of the paper.

    Raises:
        ValueError: when ``kernel_size`` is even.
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        """Return the weights, (B, 1, H, W) in (0, 1), of ``x`` (B, C, H, W)."""
        pooled = torch.cat([_mean(x, [1]), x.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(pooled))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, H, W) with its pixels weighed."""
        return x * self.gate(x)


def _mean(x: Tensor, dim: list[int]) -> Tensor:
    """Return ``x.mean(dim, keepdim=True)``; in bfloat16 on the CPU without the copy in float32 that it makes there."""
    if x.dtype != torch.bfloat16 or not x.is_cpu:
        return x.mean(dim=dim, keepdim=True)
    total = x.sum(dim=dim, keepdim=True)  # added up in float32, then rounded
    return total / (x.numel() // total.numel())


class CBAM(nn.Module):
    """Channel attention, then spatial attention."""

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, H, W) attended, of the same shape."""
        return self.spatial(self.channel(x))


class ReZeroAttention(nn.Module):
    """An attention block that starts as the identity and is learnt in: ``x + alpha * (attention(x) - x)``.

    Two sigmoid gates start near 0.5 each and so scale a stage to about a quarter; four attended stages would scale
    pretrained features to 0.4%. ``alpha`` is one learnt number that starts at 0: the features pass unchanged at
    first, and the published block is reached at 1 (as in ReZero, https://arxiv.org/abs/2003.04887).

    Args:
        attention: the block, of equal input and output shape.
        alpha: its value to start from; 0 is the identity, 1 the plain block.
    """

    def __init__(self, attention: nn.Module, alpha: float = 0.0) -> None:
        super().__init__()
        self.attention = attention
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        former = f"{prefix}blend"  # its name in checkpoints up to version 0.6
        if former in state_dict:
            state_dict[f"{prefix}alpha"] = state_dict.pop(former)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, H, W) blended with its attended self."""
        if not torch.jit.is_scripting():  # a training on a CPU takes a shorter way to the same numbers
            attention, exported = self.attention, torch.compiler.is_compiling() or torch.jit.is_tracing()
            if x.is_cpu and self.training and torch.is_grad_enabled() and isinstance(attention, CBAM) and not exported:
                squeeze, expand = (attention.channel.mlp.get_parameter(f"{i}.weight") for i in (0, 2))
                return fused_attention(x, self.alpha, squeeze, expand, attention.spatial.conv.weight)
        return torch.lerp(x, self.attention(x), self.alpha.to(x.dtype))
