"""The network: one encoder, a class and a mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from braintumor_ext.flags import as_bool
from braintumor_ext.networks.encoder import AttentionResNet
from braintumor_ext.networks.heads import ClassificationHead, SegmentationDecoder

MINIMUM_SIZE = 32  # the encoder divides the size by 32: a smaller image leaves no feature to classify


class BrainTumorNet(nn.Module):
    """A ResNet encoder with attention, a classification head on C5 and an FPN decoder on C2..C5.

    It is the bare architecture: it never downloads; :func:`~braintumor_ext.networks.load_pretrained` adds weights.

    Args:
        in_channels, attention, reduction, kernel_size, output_stride: of the encoder; see :class:`AttentionResNet`.
        encoder: its name, ``resnet18`` to ``resnet152``.
        num_classes: number of classes K.
        hidden, dropout: of the classification head; see :class:`ClassificationHead`.
        pyramid_channels, pyramid_activation: of the decoder; see :class:`SegmentationDecoder`.
        segmentation: whether there is a decoder; without one the output has no ``mask``.
        evidence: whether a training's output also holds ``evidence``, (B, K, h, w) on C5's grid, for
            :func:`~braintumor_ext.losses.evidence_outside`; it changes no weight and no prediction, so it is no part of
            ``arguments``.

    Attributes:
        arguments: what it was made with, by name; ``training.json`` keeps them beside a checkpoint.

    Example::

        >>> net = BrainTumorNet().eval()
        >>> out = net(torch.zeros(2, 3, 224, 224))
        >>> {name: tuple(value.shape) for name, value in out.items()}
        {'class': (2, 4), 'mask': (2, 1, 224, 224)}
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 4,
        attention: bool | str = True,
        reduction: int = 16,
        kernel_size: int = 7,
        hidden: int = 1024,
        dropout: float = 0.5,
        pyramid_channels: int = 128,
        segmentation: bool | str = True,
        pyramid_activation: bool | str = True,
        encoder: str = "resnet50",
        output_stride: int = 32,
        evidence: bool | str = False,
    ) -> None:
        super().__init__()
        self.evidence = as_bool(evidence)
        self.arguments = {
            "in_channels": in_channels,
            "num_classes": num_classes,
            "attention": as_bool(attention),
            "reduction": reduction,
            "kernel_size": kernel_size,
            "hidden": hidden,
            "dropout": dropout,
            "pyramid_channels": pyramid_channels,
            "segmentation": as_bool(segmentation),
            "pyramid_activation": as_bool(pyramid_activation),
            "encoder": encoder,
            "output_stride": output_stride,
        }
        self.encoder = AttentionResNet(encoder, in_channels, attention, reduction, kernel_size, output_stride)
        if output_stride != 32:  # the weights would fit a network of the other stride, and predict wrongly
            self.register_buffer("output_stride", torch.tensor(output_stride))
        channels = self.encoder.channels
        self.classifier = ClassificationHead(channels[-1], num_classes, hidden, dropout)
        decoder = SegmentationDecoder(channels, pyramid_channels, pyramid_activation) if as_bool(segmentation) else None
        self.decoder = decoder

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``{"class": (B, K), "mask": (B, 1, H, W)}`` logits of images (B, in_channels, H, W).

        Raises:
            ValueError: when H or W is below 32.
        """
        features = self._encode(x)
        if self.decoder is None:
            return {"class": self.classifier(features[3])}
        out = {"class": self.classifier(features[3]), "mask": self.decoder(features, x.shape[2], x.shape[3])}
        if not torch.jit.is_scripting() and self.evidence and self.training:  # an export only predicts
            out["evidence"] = self.classifier.evidence(features[3])
        return out

    def classify(self, x: Tensor) -> Tensor:
        """Return class logits (B, K) alone, without the cost of the decoder; raises as the forward pass does."""
        return self.classifier(self._encode(x)[3])

    def _encode(self, x: Tensor) -> list[Tensor]:
        height, width = x.shape[2], x.shape[3]
        if min(height, width) < 32:
            raise ValueError(f"the image must be at least 32 x 32 pixels, got {height} x {width}: resize it first.")
        return self.encoder(x)
