"""The encoder: one of torchvision's ResNets with attention on the outputs of its four stages."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import get_model

from braintumor_ext.flags import as_bool
from braintumor_ext.networks.cbam import CBAM, ReZeroAttention

ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")  # the encoders, by torchvision's names


class AttentionResNet(nn.Module):
    """A ResNet (https://arxiv.org/abs/1512.03385) with CBAM on the stages' outputs.

    The modules bear torchvision's names, so a torchvision state dict without ``fc`` loads into it with no missing
    keys but the attention's own.

    Args:
        attention: whether the stages' outputs pass through attention, before the next stage and the decoder.
        reduction: reduction of the channel attention.
        kernel_size: odd size of the spatial attention's convolution.
        output_stride: the input's size over C5's, 32 or 16. At 16 the last stage is dilated instead of strided, as in
            DeepLab (https://arxiv.org/abs/1706.05587): the same weights, four times its arithmetic, heat maps of twice
            as many cells a side. From ``resnet50`` on.

    Attributes:
        name: the encoder's name.
        channels: of the stages' outputs C2..C5, at 1/4, 1/8, 1/16 and 1/32 (or 1/16) of the input's size: 256, 512,
            1024, 2048, or a quarter of it in ``resnet18`` and ``resnet34``.

    Raises:
        ValueError: when there is no such encoder, ``in_channels`` is not positive, or it cannot have ``output_stride``.
    """

    def __init__(
        self,
        name: str = "resnet50",
        in_channels: int = 3,
        attention: bool | str = True,
        reduction: int = 16,
        kernel_size: int = 7,
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        if name not in ENCODERS:
            raise ValueError(f"there is no encoder {name!r}: give one of {', '.join(ENCODERS)}.")
        if in_channels < 1:
            raise ValueError(f"in_channels must be positive, got {in_channels}.")
        basic = name in ("resnet18", "resnet34")
        if output_stride not in ((32,) if basic else (32, 16)):
            raise ValueError(f"output_stride of {name} must be 32{'' if basic else ' or 16'}, got {output_stride}.")
        resnet = get_model(name, weights=None, replace_stride_with_dilation=[False, False, output_stride == 16])
        self.name = name
        self.channels = tuple((64 if basic else 256) * 2**stage for stage in range(4))
        self.conv1 = resnet.conv1
        if in_channels != 3:
            self.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1, self.relu, self.maxpool = resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4

        def attend(channels: int) -> nn.Module:
            attended = as_bool(attention)
            return ReZeroAttention(CBAM(channels, reduction, kernel_size)) if attended else nn.Identity()

        self.attention1, self.attention2, self.attention3, self.attention4 = (attend(c) for c in self.channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the attended C2, C3, C4, C5 of an image (B, in_channels, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        c2 = self.attention1(self.layer1(x))
        c3 = self.attention2(self.layer2(c2))
        c4 = self.attention3(self.layer3(c3))
        c5 = self.attention4(self.layer4(c4))
        return [c2, c3, c4, c5]
