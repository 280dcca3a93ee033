"""How long the search for copies takes between two large sets, and how much memory."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from braintumor_ext.data.copies import find_copies
from braintumor_ext.data.thumbnails import FRAMED_SIZE

_BATCH = 1024
_WARP = 0.12  # of the picture's half side: the spread of a smooth displacement


def different_pictures(framed: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Make pictures that look like slices but are copies of none: mixtures of two, each warped by itself.

    Args:
        framed: (N, 64, 64) uint8 of real slices, at least two.
        count: how many to make.
        seed: of the choice and the warps.

    Returns:
        (count, 64, 64) uint8.
    """
    generator = torch.Generator().manual_seed(seed)
    real = torch.tensor(framed)
    made = []
    for start in range(0, count, _BATCH):
        size = min(_BATCH, count - start)
        share = 0.3 + 0.4 * torch.rand(size, 1, 1, generator=generator)
        one, other = (_warped(real[_drawn(len(real), size, generator)], generator) for _ in range(2))
        made.append((share * one + (1 - share) * other).round().to(torch.uint8))
    return torch.cat(made).numpy()


def time_search(framed: np.ndarray, count: int, seed: int = 0) -> dict[str, Any]:
    """Search two sets of ``count`` pictures each for copies, of which there are none.

    Args:
        framed: real slices that the pictures are made from.
        count: pictures of each set.
        seed: of the pictures.

    Returns:
        ``minutes`` (wall), ``cpu_minutes`` of the search, ``peak_gib`` of the process and ``before_gib``, its peak
        before the search; ``reported`` pairs.
    """
    first, second = (different_pictures(framed, count, seed=2 * seed + which) for which in range(2))
    before, wall, cpu = _peak_gib(), time.perf_counter(), time.process_time()
    reported = find_copies(first, second)
    return {
        "pictures": [count, count],
        "minutes": (time.perf_counter() - wall) / 60,
        "cpu_minutes": (time.process_time() - cpu) / 60,
        "threads": torch.get_num_threads(),
        "peak_gib": _peak_gib(),
        "before_gib": before,
        "reported": len(reported),
    }


def _drawn(total: int, count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(total, (count,), generator=generator)


def _warped(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Displace the pixels of pictures by a smooth random field of 4 x 4 knots; (N, 64, 64) float32."""
    count = len(pictures)
    knots = _WARP * torch.randn(count, 2, 4, 4, generator=generator)
    field = functional.interpolate(knots, size=(FRAMED_SIZE, FRAMED_SIZE), mode="bicubic", align_corners=True)
    same = functional.affine_grid(torch.eye(2, 3).repeat(count, 1, 1), [count, 1, FRAMED_SIZE, FRAMED_SIZE], False)
    grid = same + field.movedim(1, -1)
    return functional.grid_sample(pictures.float()[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def _peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 ** (3 if sys.platform == "darwin" else 2)
