"""A checkpoint that needs no training: its mask outlines bright squares, so that a misplaced mask is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from braintumor_ext.networks import BrainTumorNet

SIZE = 64
"""The input size that it is meant for."""

MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def square_slice(
    height: int = SIZE, width: int = SIZE, top: float = 0.2, left: float = 0.55, side: float = 0.25, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return dim noise with a bright square, (H, W) float32 in [0, 1], and the square, (H, W) bool.

    Its place is given in shares of the height and width.
    """
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 2)
    image = 0.15 + 0.1 * (noise - noise.min()) / (noise.max() - noise.min())
    square = np.zeros((height, width), dtype=bool)
    square[round(top * height) : round((top + side) * height), round(left * width) : round((left + side) * width)] = (
        True
    )
    image[square] = 0.95
    return image.astype(np.float32), square


def write_bright_square_model(ckpt_dir: Path) -> Path:
    """Write ``model.pt``: a random encoder, and a mask head that is solved by least squares on its features."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    # Solved by least squares, the head needs features that are many and linear: more than the network has by default.
    network = BrainTumorNet(encoder="resnet18", pyramid_channels=256, pyramid_activation=False)
    pairs = [square_slice(top=t, left=s, seed=i) for i, (t, s) in enumerate(rng.uniform(0.05, 0.7, size=(36, 2)))]
    # Half of them stretched to the full range, as those of 16 bit are when they are read.
    greys = [(g - g.min()) / (g.max() - g.min()) if i % 2 else g for i, (g, _) in enumerate(pairs)]
    images = torch.stack([(torch.as_tensor(grey).expand(3, -1, -1) - MEAN) / STD for grey in greys])
    wanted = torch.stack([torch.as_tensor(square)[None].float() for _, square in pairs])
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # running statistics are then those of the one batch below
    with torch.no_grad():
        network.train()(images)
        network.eval()
        merged: list[torch.Tensor] = []
        hook = network.decoder.head.register_forward_pre_hook(lambda module, inputs: merged.append(inputs[0]))
        network(images)
        hook.remove()
        features = merged[0].movedim(1, -1).reshape(-1, merged[0].shape[1])
        # Logits from -3 to 5, as least squares draw the rims of the squares in.
        target = F.adaptive_avg_pool2d(wanted, merged[0].shape[-2:]).reshape(-1, 1) * 8 - 3
        inputs = torch.cat([features, torch.ones(len(features), 1)], dim=1).double()
        ridge = 1e-3 * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.double)
        solved = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ target.double()).float()
        network.decoder.head.weight.copy_(solved[:-1].reshape(1, -1, 1, 1))
        network.decoder.head.bias.copy_(solved[-1])
    ckpt_dir.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), ckpt_dir / "model.pt")
    return ckpt_dir
