"""Alignment of pairs of small pictures by an affine map, and how like they are then."""

from __future__ import annotations

import torch
from torch.nn import functional

_STAGES = ((32, 3, 0.4), (32, 5, 0.6), (64, 6, 1.0))
"""Side in pixels, Gauss-Newton steps, and the correlation above which a pair is worth the next stage."""
_LEAST_OVERLAP = 0.5  # of the picture
_BATCH = 256


def local_contrast(pictures: torch.Tensor, side: int = 13, inside: torch.Tensor | None = None) -> torch.Tensor:
    """Remove each pixel's surroundings and divide by their contrast, so that tone and shading are gone.

    Of pictures (N, H, W) of any range, as float32. The surroundings are a square of an odd ``side`` in pixels.
    ``inside``, (N, H, W), is 1 where a pixel counts, and 0 where neither it nor its result has a meaning.
    """
    values = pictures.float()[:, None]
    counted = torch.ones_like(values[:1]) if inside is None else inside[:, None]
    weight = _smooth(counted, side).clamp_min(1e-6)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return _smooth(x * counted, side) / weight

    detail = values - mean(values)
    spread = mean(detail**2).sqrt()
    # Without the second term noise in the background would count as much as the head.
    typical = (spread * counted).sum(dim=(2, 3), keepdim=True) / counted.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    return (detail / (spread + 0.5 * typical).clamp_min(1e-6))[:, 0]


def align(moving: torch.Tensor, fixed: torch.Tensor, start: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Align moving pictures with fixed ones, both (N, 64, 64) of ``local_contrast``, each from its first guess.

    Return their correlations where they overlap, (N,) in [-1, 1], and the maps from fixed to moving, (N, 2, 3), in
    ``affine_grid``'s coordinates like ``start``. The maps are affine, found by Gauss-Newton steps on normalised
    intensities (Lucas and Kanade 1981; Evangelidis and Psarakis, "Parametric Image Alignment Using Enhanced Correlation
    Coefficient Maximization", 2008), first at half the size, then, where that promises something, in full.
    """
    likeness, found_maps = torch.full((len(moving),), -1.0), start.clone()
    for first in range(0, len(moving), _BATCH):
        chosen = torch.arange(first, min(first + _BATCH, len(moving)))
        maps = start[chosen]
        for side, steps, promising in _STAGES:
            found, maps = _align(_shrunk(moving[chosen], side), _shrunk(fixed[chosen], side), maps, steps)
            likeness[chosen], found_maps[chosen] = found, maps
            chosen, maps = chosen[found > promising], maps[found > promising]
            if not len(chosen):
                break
    return likeness, found_maps


def likeness_under(moving: torch.Tensor, fixed: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return the correlation, (N,), of the local contrast of pictures (N, 64, 64) where they overlap under maps.

    The contrast is that of the moved picture within the overlap. Taken before the move it is that of other
    surroundings, larger or smaller ones where the scales differ: true crops by a tenth at each edge then correlate at
    0.9 only. The maps are those of ``align``.
    """
    likeness = torch.full((len(moving),), -1.0)
    for first in range(0, len(moving), _BATCH):
        chosen = slice(first, first + _BATCH)
        pictures = moving[chosen].float()[:, None]
        grid = functional.affine_grid(maps[chosen], list(pictures.shape), align_corners=False)
        moved = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)[:, 0]
        inside = (grid.abs().amax(dim=-1) <= 1).float()
        one, other = (_standardised(local_contrast(x, inside=inside), inside) for x in (moved, fixed[chosen]))
        likeness[chosen] = (one * other).sum(dim=(1, 2))
    return likeness


def _smooth(values: torch.Tensor, side: int) -> torch.Tensor:
    """The sums over squares round each pixel, divided by a constant: in two passes, which costs a fraction of one."""
    rows = functional.avg_pool2d(values, (side, 1), stride=1, padding=(side // 2, 0))
    return functional.avg_pool2d(rows, (1, side), stride=1, padding=(0, side // 2))


def _shrunk(pictures: torch.Tensor, side: int) -> torch.Tensor:
    return functional.adaptive_avg_pool2d(pictures[:, None], side)


def _align(
    moving: torch.Tensor, fixed: torch.Tensor, maps: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Improve the maps of (N, 1, S, S) pictures; return the best correlations met and their maps."""
    side = moving.shape[-1]
    best, best_maps = torch.full((len(moving),), -1.0), maps
    along = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(along, along, indexing="ij")
    for step in range(steps + 1):
        grid = functional.affine_grid(maps, list(moving.shape), align_corners=False)
        warped = functional.grid_sample(moving, grid, align_corners=False)[:, 0]
        inside = (grid.abs().amax(dim=-1) <= 1).float()
        overlap = inside.mean(dim=(1, 2))
        a, b = _standardised(warped, inside), _standardised(fixed[:, 0], inside)
        correlation = (a * b).sum(dim=(1, 2)).where(overlap >= _LEAST_OVERLAP, torch.tensor(-1.0))
        better = correlation > best
        best, best_maps = best.where(~better, correlation), best_maps.where(~better[:, None, None], maps)
        if step == steps:
            break
        slope_y, slope_x = (slope * inside * side / 2 for slope in torch.gradient(a, dim=(1, 2)))
        slopes = torch.stack([slope_x * x, slope_x * y, slope_x, slope_y * x, slope_y * y, slope_y], dim=1).flatten(2)
        normal = slopes @ slopes.mT
        damping = 0.01 * normal.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] + 1e-9
        change = torch.linalg.solve(normal + damping * torch.eye(6), slopes @ (b - a).flatten(1)[..., None])
        maps = maps @ _square(change.view(-1, 2, 3).clamp(-0.15, 0.15))
    return best, best_maps


def _standardised(values: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Mean zero and unit norm where ``inside``, zero elsewhere."""
    count = inside.sum(dim=(1, 2), keepdim=True).clamp_min(1)
    centred = (values - (values * inside).sum(dim=(1, 2), keepdim=True) / count) * inside
    return centred / centred.flatten(1).norm(dim=1)[:, None, None].clamp_min(1e-6)


def _square(change: torch.Tensor) -> torch.Tensor:
    """The 3x3 matrices of small affine changes, (N, 2, 3)."""
    square = torch.eye(3).repeat(len(change), 1, 1)
    square[:, :2] += change
    return square
