"""Networks that ours is compared with, of the same contract."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import BasicUNet
from torch import Tensor, nn
from torchvision.models import EfficientNet_B0_Weights, ResNet50_Weights, VGG16_Weights, WeightsEnum, get_model

from braintumor_ext.errors import InputError
from braintumor_ext.networks.heads import ClassificationHead

CLASSIFIERS: dict[str, tuple[WeightsEnum, str]] = {
    "resnet50": (ResNet50_Weights.IMAGENET1K_V2, "fc."),
    "vgg16": (VGG16_Weights.IMAGENET1K_V1, "classifier.6."),
    "efficientnet_b0": (EfficientNet_B0_Weights.IMAGENET1K_V1, "classifier.1."),
}
"""torchvision's classifiers: their ImageNet weights, and how the keys of the layer of its 1000 classes begin."""

UNET_FEATURES = (64, 128, 256, 512, 1024, 64)
"""Channels of the classic U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597)."""


class ClassifierBaseline(nn.Module):
    """One of torchvision's classifiers: a class, no mask.

    It begins with random weights; :func:`~braintumor_ext.networks.load_pretrained` adds ImageNet's.

    Args:
        in_channels: channels of the image; these networks take 3.

    Raises:
        InputError: there is no such classifier, or it cannot take so many channels.
    """

    def __init__(self, name: str, in_channels: int = 3, num_classes: int = 4) -> None:
        super().__init__()
        if name not in CLASSIFIERS:
            raise InputError(f"baseline {name}", "there is no such classifier", f"Give one of {', '.join(CLASSIFIERS)}")
        if in_channels != 3:
            raise InputError(f"baseline {name}", f"it takes 3 channels, not {in_channels}", "Give --in_channels 3")
        self.name = name
        self.arguments = {"name": name, "in_channels": in_channels, "num_classes": num_classes}
        self.classifier = get_model(name, weights=None, num_classes=num_classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``{"class": (B, K)}`` logits of images (B, 3, H, W)."""
        return {"class": self.classifier(x)}


class UNetBaseline(BasicUNet):
    """MONAI's U-Net for the mask, with a :class:`ClassificationHead` on its deepest features for the class."""

    def __init__(self, in_channels: int = 3, num_classes: int = 4, hidden: int = 1024, dropout: float = 0.5) -> None:
        super().__init__(spatial_dims=2, in_channels=in_channels, out_channels=1, features=UNET_FEATURES)
        head: dict[str, Any] = {"num_classes": num_classes, "hidden": hidden, "dropout": dropout}
        self.arguments = {"in_channels": in_channels, **head}
        self.classifier = ClassificationHead(UNET_FEATURES[4], **head)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``{"class": (B, K), "mask": (B, 1, H, W)}`` logits of images (B, C, H, W)."""
        levels = [self.conv_0(x)]
        for down in (self.down_1, self.down_2, self.down_3, self.down_4):
            levels.append(down(levels[-1]))
        deepest = up = levels.pop()
        for upcat in (self.upcat_4, self.upcat_3, self.upcat_2, self.upcat_1):
            up = upcat(up, levels.pop())
        return {"class": self.classifier(deepest), "mask": self.final_conv(up)}
