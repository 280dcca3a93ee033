"""Maps that know nothing of the network: what any method must beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.visualize.visualizer import default_upsampler
from torch import Tensor

from braintumor_ext.explain.scores import to_unit_range

BASELINES: tuple[str, ...] = ("random", "centre")  # smooth noise, and the centre of the head


def random_maps(seeds: Sequence[int], size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Return smooth noise, (B, 1, H, W) in [0, 1]: uniform noise on a coarse grid, upsampled as the methods' maps are.

    It is as smooth as a map of a layer with that grid, so that it differs from one in its knowledge alone.

    Args:
        seeds: each image's seed: its map is the same alone and in any batch.
        size: (H, W) of the images.
        grid: (rows, columns) of the layer's activations.
    """
    noise = [torch.rand(1, *grid, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return to_unit_range(default_upsampler(size)(torch.stack(noise)))


def centre_maps(x: Tensor) -> Tensor:
    """Return a Gaussian about the middle of each head, (B, 1, H, W) in [0, 1]: a guess that needs no network.

    Middle and spread are the mean and the standard deviation, along each axis, of the foreground's coordinates: the
    pixels that are brighter than the slice's mean. For a head that is a filled ellipse the spread is half its
    half-axis. A slice of one value counts as foreground everywhere.
    """
    grey = x.detach().float().mean(dim=1)
    bright = grey > grey.mean(dim=(1, 2), keepdim=True)
    bright |= ~bright.any(dim=(1, 2), keepdim=True)
    rows, columns = (torch.arange(n, dtype=torch.float32, device=x.device) for n in grey.shape[1:])
    along_rows = _gaussian(rows, bright.sum(dim=2))
    along_columns = _gaussian(columns, bright.sum(dim=1))
    return to_unit_range((along_rows[:, :, None] * along_columns[:, None, :])[:, None])


def _gaussian(coordinates: Tensor, counts: Tensor) -> Tensor:
    """A Gaussian with the mean and the standard deviation of counted coordinates, (B, n)."""
    share = counts / counts.sum(dim=1, keepdim=True)
    middle = (share * coordinates).sum(dim=1, keepdim=True)
    variance = (share * (coordinates - middle).square()).sum(dim=1, keepdim=True).clamp_min(1.0)
    return torch.exp(-(coordinates - middle).square() / (2 * variance))
