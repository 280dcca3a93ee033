"""A network whose predictions differ from image to image, and what else the tests of the maps share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from braintumor_ext.networks import BrainTumorNet
from tests.bundle.tiny_net import TinyNet

SIZE = 64
PREDICTED = [0, 1, 2, 3, 0, 1]
"""The classes that the network sees in ``pictures``."""


@pytest.fixture(scope="session")
def network() -> BrainTumorNet:
    """The real architecture, its attention in effect, with a head that tells the images below apart."""
    torch.manual_seed(0)
    net = BrainTumorNet().eval()
    for name, parameter in net.named_parameters():
        if name.endswith("alpha"):
            parameter.data.fill_(0.5)
    with torch.no_grad():
        hidden = torch.relu(net.classifier[2](net.encoder(pictures())[-1].mean((2, 3))))
        # Solved for logits of 3 for each image's own class and 0 for the others: predictions are 0, 1, 2, 3, 0, 1.
        wanted = 3 * nn.functional.one_hot(torch.tensor(PREDICTED), 4).double()
        net.classifier[5].weight.copy_((torch.linalg.pinv(hidden.double(), rtol=1e-4) @ wanted).T)
        net.classifier[5].bias.zero_()
        net.decoder.head.weight.neg_()  # as drawn, the deepest features speak against the mask: its maps would be empty
    return net


def pictures() -> torch.Tensor:
    """Six unlike images, (6, 3, 64, 64): stripes, blobs, noise and a gradient; the last two resemble the first two."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    blob = torch.exp(-((rows - 0.4) ** 2 + (columns + 0.3) ** 2) * 12)
    stripes = torch.sin(columns * 20)
    noise = torch.randn(SIZE, SIZE, generator=generator)
    images = [stripes, 3 * blob, noise, 2 * rows, stripes + 0.1 * noise, 3 * blob + 0.1 * noise]
    return torch.stack(images)[:, None].repeat(1, 3, 1, 1)


@pytest.fixture(scope="session")
def small_network() -> TinyNet:
    """A network of the same contract whose forward pass takes no time; its layer is ``norm``."""
    torch.manual_seed(0)
    net = TinyNet().eval()
    net.classifier.weight.data *= 20
    return net


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """The images of ``pictures``."""
    return pictures()
