"""The form of the network that is exported: both heads, and the features that tell an unusual input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from braintumor_ext.errors import InputError
from braintumor_ext.keys import CLASS, FEATURES, MASK
from braintumor_ext.networks import BrainTumorNet

INPUT = "image"
OUTPUTS = (CLASS, MASK, FEATURES)  # the names of an exported network's outputs, in their order


class HeadsAndFeatures(nn.Module):
    """The network with its stages' channel means as a third output; it shares the network's weights.

    The eager network's are read by hooks (:func:`~braintumor_ext.explain.layers.stage_features`): no export has those.

    Raises:
        InputError: it has no segmentation.
    """

    def __init__(self, network: BrainTumorNet) -> None:
        super().__init__()
        if network.decoder is None:
            raise InputError("the network", "it has no segmentation to export", "Export one with both heads")
        self.encoder, self.classifier, self.decoder = network.encoder, network.classifier, network.decoder
        self.training = network.training

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return ``class`` (B, K), ``mask`` (B, 1, H, W) and ``features`` (B, 3840) of images (B, C, H, W)."""
        stages = self.encoder(image)
        means = torch.cat([stage.mean(dim=(2, 3)) for stage in stages], dim=1)
        mask = self.decoder(stages, image.shape[2], image.shape[3])
        return {"class": self.classifier(stages[3]), "mask": mask, "features": means}  # TorchScript needs literals
