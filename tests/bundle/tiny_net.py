"""A network of the same contract as the bundle's, small enough to be trained in a moment."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class TinyNet(nn.Module):
    """One convolution and two heads; with what a resumed training must restore: running statistics and dropout.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes K.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 4) -> None:
        super().__init__()
        self.features = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(4, num_classes)
        self.outline = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return class logits (B, K) and mask logits (B, 1, H, W) of images (B, C, H, W)."""
        h = F.relu(self.norm(self.features(x)))
        return {"class": self.classifier(self.dropout(h.mean(dim=(2, 3)))), "mask": self.outline(h)}
