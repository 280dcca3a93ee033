"""Copies of slices: the same picture, though mirrored, resized, re-encoded, letter-boxed, cropped or a bit rotated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from braintumor_ext.data.alignment import align, likeness_under, local_contrast

COPY_LIKENESS = 0.9
"""Slices at least as like as this after alignment are taken for copies of one another."""

_CUT = 0.1  # of a picture's side: what a tighter crop lacks at an edge
_CUT_ALL_ROUND = 0.15  # what a still tighter crop lacks at all four edges
_TURN = 6.0  # degrees
_SOFT_SIZE = 32
_ROUGH_SIZE = 16  # side of the pictures that are compared roughly
_ROUGH_LIKENESS = 0.3
_NEAR = 0.6  # likeness as the alignment sees it, above which a pair is judged in full
_CANDIDATES = 5  # of each slice in each mirror state
_BLOCK = 1024  # rows of the matrix of rough likeness held in memory at a time


class Copy(NamedTuple):
    """Two pictures that are the same."""

    first: int  # position in the first set
    second: int  # position in the second set; where there is one set only, in that, after `first`
    likeness: float  # correlation of their local contrast after alignment, at most 1
    mirrored: bool  # whether one is the other's mirror image, left for right


def find_copies(
    first: np.ndarray, second: np.ndarray | None = None, likeness: float = COPY_LIKENESS, progress: bool = True
) -> list[Copy]:
    """Find the copies among pictures of two sets, or of one, all (N, 64, 64) uint8 of ``framed_picture``.

    Rough likeness of every pair (a product of matrices of small pictures, seen whole and in several crops, plain and
    mirrored) names a few candidates of each picture; these are aligned, and judged by their likeness then. Pairs of
    ``likeness`` or more come in ascending order; one that is alike plain and mirrored stands as the better of the two.
    """
    one, other = (torch.tensor(pictures) for pictures in (first, first if second is None else second))
    if not len(one) or not len(other):
        return []
    total = len(one) if second is None else len(one) + len(other)
    best: dict[tuple[int, int], Copy] = {}
    with tqdm(total=total, desc="looking for copies", unit="slice", disable=not progress) as bar:
        # Crops are taken of the moving picture only, so that two sets are searched both ways.
        for moving, fixed in [(one, other)] if second is None else [(one, other), (other, one)]:
            for a, b, value, mirrored in _search(moving, fixed, second is None, bar):
                swapped = b < a if second is None else moving is other
                pair = (b, a) if swapped else (a, b)
                if value >= likeness and (pair not in best or value > best[pair].likeness):
                    best[pair] = Copy(*pair, value, mirrored)
    return [best[pair] for pair in sorted(best)]


def positions(copies: Sequence[Copy]) -> np.ndarray:
    """Return the pairs as an array (M, 2) of positions."""
    return np.array([(copy.first, copy.second) for copy in copies], dtype=np.int64).reshape(-1, 2)


def _search(moving: torch.Tensor, fixed: torch.Tensor, same_set: bool, bar: tqdm) -> list[tuple[int, int, float, bool]]:
    """Align each moving picture with its candidates: positions, likeness, whether mirrored."""
    details = [local_contrast(pictures) for pictures in (moving, fixed)]
    soft = [_soft(pictures) for pictures in (moving, fixed)]
    wholes = _seen(soft[1], _resampling(torch.eye(2, 3)))
    found = []
    for start in range(0, len(moving), _BLOCK):
        block = soft[0][start : start + _BLOCK]
        for mirrored in (False, True):
            views = _views(mirrored)
            resampling = [_resampling(view) for view in views]
            best = torch.full((len(block), len(fixed)), -1.0)
            which = torch.zeros(best.shape, dtype=torch.uint8)
            for number, matrix in enumerate(resampling):
                score = _seen(block, matrix) @ wholes.T
                which.masked_fill_(score > best, number)
                torch.maximum(best, score, out=best)
            if same_set:
                best.diagonal(start)[:] = -1
            values, columns = best.topk(min(_CANDIDATES, len(fixed)), dim=1)
            row, rank = torch.nonzero(values > _ROUGH_LIKENESS, as_tuple=True)
            a, b = row + start, columns[row, rank]
            alike, maps = align(details[0][a], details[1][b], views[which[row, b].long()])
            near = alike > _NEAR
            alike[near] = likeness_under(moving[a[near]], fixed[b[near]], maps[near])
            found += [(*pair, mirrored) for pair in zip(a.tolist(), b.tolist(), alike.tolist(), strict=True)]
        bar.update(len(block))
    return found


def _views(mirrored: bool) -> torch.Tensor:
    """Maps (V, 2, 3) to a part of a picture, or to the turned picture, as ``affine_grid`` takes them."""
    spans = [(1 - (a + b), a - b) for a, b in itertools.product((0, _CUT), repeat=2)]  # scale and middle
    crops = [[[sx, 0, mx], [0, sy, my]] for (sx, mx), (sy, my) in itertools.product(spans, spans)]
    tight = 1 - 2 * _CUT_ALL_ROUND
    crops.append([[tight, 0, 0], [0, tight, 0]])
    angle = np.radians(_TURN)
    turns = [[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0]] for a in (-angle, angle)]
    views = torch.tensor(crops + turns, dtype=torch.float32)
    if mirrored:
        views[:, :, 0] *= -1
    return views


def _soft(pictures: torch.Tensor) -> torch.Tensor:
    """Coarse local contrast of pictures, (N, 1024): 32 x 32 pixels."""
    smooth = functional.avg_pool2d(local_contrast(pictures, 31), 7, stride=1, padding=3)
    return functional.adaptive_avg_pool2d(smooth, _SOFT_SIZE).flatten(1)


def _resampling(view: torch.Tensor) -> torch.Tensor:
    """The matrix (1024, 256) that takes a coarse picture to what is seen of it in a view."""
    pixels = torch.eye(_SOFT_SIZE**2).view(1, -1, _SOFT_SIZE, _SOFT_SIZE)
    grid = functional.affine_grid(view[None], [1, 1, _ROUGH_SIZE, _ROUGH_SIZE], align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)[0].flatten(1)


def _seen(soft: torch.Tensor, resampling: torch.Tensor) -> torch.Tensor:
    """What is seen of coarse pictures in a view, as unit vectors (N, 256)."""
    seen = soft @ resampling
    return functional.normalize(seen - seen.mean(dim=1, keepdim=True), dim=1)
