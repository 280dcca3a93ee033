"""The two heads: what the slice shows, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.blocks import FeaturePyramidNetwork
from torch import Tensor, nn

from braintumor_ext.flags import as_bool


class ClassificationHead(nn.Sequential):
    """Global average pooling of (B, C, h, w), a hidden layer with ReLU and dropout, and the class logits (B, K)."""

    def __init__(self, in_channels: int, num_classes: int, hidden: int = 1024, dropout: float = 0.5) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(in_channels, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def evidence(self, features: Tensor) -> Tensor:
        """Return where features (B, in_channels, h, w) speak for which class, (B, K, h, w) float32.

        It is the Grad-CAM of each class, before its ReLU.

        Around one slice the head is linear, so the gradient of each logit by the pooled features has a closed form;
        times the features it gives each place's share of the logit, and the shares sum to the logit but for a constant
        (https://arxiv.org/abs/1610.02391). Differentiable, at the cost of the head alone. Dropout is left out.
        """
        hidden, output = self[2], self[5]
        with torch.autocast(features.device.type, enabled=False):
            maps = features.float()
            active = (hidden(maps.mean(dim=(2, 3))) > 0).to(maps.dtype)
            gradient = (output.weight * active.unsqueeze(1)) @ hidden.weight
            return torch.einsum("bkc,bchw->bkhw", gradient, maps) / (maps.shape[2] * maps.shape[3])


class SegmentationDecoder(nn.Module):
    """A feature pyramid on C2..C5 (https://arxiv.org/abs/1612.03144), merged on C2's grid, and a 1x1 head.

    P3, P4 and P5 are upsampled (2x, 4x, 8x) to P2's grid and the four are summed, as in Panoptic FPN
    (https://arxiv.org/abs/1901.02446).

    Args:
        activation: whether group normalisation and ReLU follow each of P2..P5, as there. Without them the logits are a
            linear function of C2..C5: what fine and coarse features say can be added, but not combined.
    """

    def __init__(self, in_channels: Sequence[int], pyramid_channels: int = 128, activation: bool | str = True) -> None:
        super().__init__()
        self.pyramid = FeaturePyramidNetwork(2, list(in_channels), pyramid_channels)
        self.activations = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(math.gcd(32, pyramid_channels), pyramid_channels), nn.ReLU(inplace=True))
            for _ in range(len(in_channels) if as_bool(activation) else 0)
        )
        self.head = nn.Conv2d(pyramid_channels, 1, kernel_size=1)

    def forward(self, features: list[Tensor], height: int, width: int) -> Tensor:
        """Return mask logits (B, 1, height, width) of the features C2..C5."""
        levels = list(self.pyramid({str(i): feature for i, feature in enumerate(features)}).values())
        for i, activation in enumerate(self.activations):
            levels[i] = activation(levels[i])
        merged = levels[0]
        size = [merged.shape[2], merged.shape[3]]
        for level in levels[1:]:
            merged = merged + F.interpolate(level, size=size, mode="bilinear", align_corners=False)
        return F.interpolate(self.head(merged), size=[height, width], mode="bilinear", align_corners=False)
