"""Does the prediction fall when what a map marks is taken away, and rise when it is given back?"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

STEPS = 16  # equal shares of the pixels, taken one after the other
BLURRED_SHARE = 16  # the blur's standard deviation is the image's shorter side, divided by this


class PerturbationCurves(NamedTuple):
    """Probability of the explained class while pixels are replaced, the most important ones first."""

    deletion: Tensor  # (B, S + 1) in [0, 1]: 0, 1/S, ..., all of the pixels deleted
    insertion: Tensor  # (B, S + 1) in [0, 1]: none, 1/S, ..., all of the pixels given back

    @property
    def deletion_area(self) -> Tensor:
        """(B,) area under the deletion curve by the trapezium rule, in [0, 1]; a good map's is low."""
        return _area(self.deletion)

    @property
    def insertion_area(self) -> Tensor:
        """(B,) area under the insertion curve by the trapezium rule, in [0, 1]; a good map's is high."""
        return _area(self.insertion)


def deletion_insertion(
    classifier: nn.Module,
    x: Tensor,
    maps: Tensor,
    classes: Tensor,
    steps: int = STEPS,
    n_batch: int = 32,
    seed: int = 0,
) -> PerturbationCurves:
    """Return the deletion and insertion curves of maps (RISE, Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421).

    Deletion replaces pixels by each channel's least value in that slice: the dark around the head, which is also what
    random erasing leaves in the bundle's training, so that the network has seen such holes. Insertion starts from the
    slice blurred by a Gaussian (a sixteenth of its side: a tumour's outline and texture are gone) and gives back pixels
    as they are. Pixels of equal importance come in an order drawn once, not from the top left.

    Args:
        classifier: gives class logits (B, K) of images; in ``eval`` mode.
        x: (B, C, H, W) images as the network takes them.
        maps: (B, 1, H, W) on the images' grid.
        steps: S, the number of steps.
        seed: of the order of equal pixels.

    Raises:
        ValueError: a map has another size than its image, or ``steps`` is not positive.
    """
    if maps.shape != (len(x), 1, *x.shape[2:]):
        raise ValueError(f"each image needs a map of its size, got maps {tuple(maps.shape)} of {tuple(x.shape)}.")
    if steps < 1:
        raise ValueError(f"steps must be positive, got {steps}.")
    with torch.no_grad():
        rank = _ranks(maps, seed)
        dark = x.amin(dim=(2, 3), keepdim=True).expand_as(x)
        sigma = min(x.shape[2:]) / BLURRED_SHARE
        size = 2 * math.ceil(3 * sigma) + 1
        blurred = gaussian_blur(x, [size, size], [sigma, sigma])
        curve = partial(_curve, classifier, rank=rank, classes=classes, steps=steps, n_batch=n_batch)
        return PerturbationCurves(curve(before=x, after=dark), curve(before=blurred, after=x))


def _ranks(maps: Tensor, seed: int) -> Tensor:
    """Each pixel's place in the order of falling importance, (B, 1, H, W) from 0 to H W - 1."""
    count = maps[0].numel()
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).to(maps.device)
    order = drawn[maps.flatten(1)[:, drawn].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(count, device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).reshape(maps.shape)


def _curve(
    classifier: nn.Module, before: Tensor, after: Tensor, rank: Tensor, classes: Tensor, steps: int, n_batch: int
) -> Tensor:
    """Replace the pixels of ``before`` by those of ``after``; only one batch of changed images exists at a time."""
    count = rank[0].numel()
    jobs = torch.cartesian_prod(torch.arange(len(before)), torch.arange(steps + 1)).to(before.device)
    found = []
    for image, step in (part.unbind(1) for part in jobs.split(n_batch)):
        replaced = rank[image] < (step * count / steps).round()[:, None, None, None]
        logits = classifier(torch.where(replaced, after[image], before[image]))
        chosen = classes.to(logits.device)[image][:, None]
        found.append(torch.softmax(logits.double(), dim=1).gather(1, chosen)[:, 0].cpu())
    return torch.cat(found).reshape(len(before), steps + 1)


def _area(curves: Tensor) -> Tensor:
    return torch.trapezoid(curves, dx=1 / (curves.shape[1] - 1), dim=1)
