"""What synthetic heads are drawn with: signed distances to simple bodies, smooth random fields, and soft-edged paint.

Points are (3, N) in mm; distances are (N,) in mm, negative inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]


def column(values: ArrayLike) -> Array:
    """The values as a column, to go with points (3, N)."""
    return np.asarray(values, dtype=np.float32)[:, None]


def norm(q: Array) -> Array:
    """Length of each column of (3, N); a little above 0 at the origin, so that it can divide."""
    return np.sqrt(np.einsum("ij,ij->j", q, q)) + np.float32(1e-6)


def ellipsoid(p: Array, centre: ArrayLike, axes: ArrayLike) -> Array:
    """Distance in mm to an ellipsoid, to first order (exact on the surface and for a sphere); negative inside."""
    q = (p - column(centre)) / column(axes)
    length = norm(q)
    q /= column(axes)
    return length * (length - 1) / norm(q)


def tube(p: Array, nodes: Sequence[Sequence[float]]) -> Array:
    """Distance in mm to a chain of rounded cones through ``nodes`` of (x, y, z, radius)."""
    distance = np.full(p.shape[1], np.inf, dtype=np.float32)
    for (*a, ra), (*b, rb) in pairwise(nodes):
        start, along = column(a), column(b) - column(a)
        q = p - start
        t = np.clip((along.T @ q)[0] / (along * along).sum(), 0, 1)
        distance = np.minimum(distance, norm(q - along * t) - (ra + (rb - ra) * t))
    return distance


def blend(a: Array, b: Array, width: float) -> Array:
    """Union of two distances with a rounded seam, ``width`` mm wide."""
    h = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b + (a - b) * h - width * h * (1 - h)


def mirror(p: Array) -> Array:
    """The same points on the side of positive x, for paired structures."""
    return np.stack([np.abs(p[0]), p[1], p[2]])


def paint(canvas: Array, distance: Array, value: float | NDArray[np.floating], edge: float = 1.4) -> None:
    """Paint ``value`` where ``distance`` is negative; pixels on the border, ``edge`` mm wide, hold a part of each."""
    canvas += np.clip(0.5 - distance / edge, 0, 1) * (value - canvas)


@dataclass(frozen=True)
class Noise:
    """A smooth random field of mean 0 and variance 1: a sum of T plane waves of about one wavelength.

    ``waves`` are wave vectors, (T, 3), in radians per mm; ``phases``, (T,), in radians.
    """

    waves: Array
    phases: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength: float, terms: int) -> Noise:
        """Draw a field of ``terms`` waves of about ``wavelength`` mm in all directions."""
        directions = rng.normal(size=(terms, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        waves = directions * 2 * np.pi / wavelength * rng.uniform(0.75, 1.3, (terms, 1))
        return cls(waves.astype(np.float32), rng.uniform(0, 2 * np.pi, terms).astype(np.float32))

    def __call__(self, p: Array) -> Array:
        """Return the field at the points ``p``, (3, N) in mm, as (N,)."""
        return np.cos(self.waves @ p + self.phases[:, None]).sum(0) * np.float32((2 / len(self.phases)) ** 0.5)
