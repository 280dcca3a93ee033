"""Pictures that are no brain MRI, to measure a detector on: noise, patterns, blanks, and scikit-image's samples."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from braintumor_ext.keys import IMAGE

Grey = NDArray[np.float32]
KIND = "kind"
"""What a probe shows; a key of its item."""

SAMPLES: dict[str, tuple[str, ...]] = {
    "photograph": ("astronaut", "camera", "chelsea", "coffee", "rocket", "coins"),
    "texture": ("brick", "grass", "gravel"),
    "text page": ("page", "text"),
    "sky": ("moon", "hubble_deep_field"),
    "retina or microscopy": ("retina", "immunohistochemistry", "cell"),
}
"""Kind to the pictures of ``skimage.data`` that show it; all of them come with the package, none is downloaded."""


def draw_probe(kind: str, variant: int = 0, size: int = 192, seed: int = 0) -> Grey:
    """Draw one picture that is no brain MRI; the same arguments give the same picture.

    Args:
        kind: one of ``PROBE_KINDS``.
        variant: which picture of this kind, from 0.
        size: side in pixels, at least 32.
        seed: of all pictures.

    Returns:
        (size, size) float32 in [0, 1].

    Raises:
        ValueError: there is no such kind, or the size is below 32.
    """
    if kind not in PROBE_KINDS:
        raise ValueError(f"there is no probe {kind!r}: valid are {', '.join(PROBE_KINDS)}.")
    if size < 32:
        raise ValueError(f"size must be at least 32, not {size}.")
    # a stream for each picture: it stays the same when kinds or variants are added
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), variant])
    if kind in SAMPLES:
        return _square_of(SAMPLES[kind][variant % len(SAMPLES[kind])], rng, size)
    return np.clip(_DRAWN[kind](rng, size), 0, 1).astype(np.float32)


def probe_items(variants: int = 8, size: int = 192, seed: int = 0) -> list[dict[str, Any]]:
    """Return items for the bundle's preprocessing: ``image`` (size, size) in [0, 1], and ``kind``."""
    return [
        {IMAGE: draw_probe(kind, variant, size, seed), KIND: kind}
        for kind in PROBE_KINDS
        for variant in range(variants)
    ]


def _square_of(sample: str, rng: np.random.Generator, size: int) -> Grey:
    """A square of one of scikit-image's samples, in grey."""
    from skimage import data  # only a calibration needs it

    picture = Image.fromarray(getattr(data, sample)()).convert("L")
    side = int(rng.uniform(0.5, 1) * min(picture.size))
    left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
    square = picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.asarray(square, dtype=np.float32) / np.float32(255)


def _uniform_noise(rng: np.random.Generator, size: int) -> NDArray:
    low, high = sorted(rng.uniform(0, 1, 2))
    return rng.uniform(low * 0.5, 0.5 + high * 0.5, (size, size))


def _gaussian_noise(rng: np.random.Generator, size: int) -> NDArray:
    return rng.normal(rng.uniform(0.2, 0.7), rng.uniform(0.05, 0.3), (size, size))


def _smooth_noise(rng: np.random.Generator, size: int) -> NDArray:
    """Clouds: noise of one length between a twentieth and a fifth of the picture."""
    clouds = gaussian_filter(rng.normal(size=(size, size)), size * rng.uniform(0.02, 0.07), mode="wrap")
    return 0.5 + clouds / clouds.std() * rng.uniform(0.1, 0.25)


def _checkerboard(rng: np.random.Generator, size: int) -> NDArray:
    row, column = np.indices((size, size))
    side = int(rng.integers(max(size // 48, 2), size // 5))
    low, high = rng.uniform(0, 0.3), rng.uniform(0.6, 1)
    return np.where((row // side + column // side) % 2 == 0, low, high)


def _stripes(rng: np.random.Generator, size: int) -> NDArray:
    along = _ramp(rng.uniform(0, np.pi), size)
    wave = np.sin(2 * np.pi * rng.uniform(3, 24) * along)
    return 0.5 + rng.uniform(0.2, 0.5) * (np.sign(wave) if rng.random() < 0.5 else wave)


def _gradient(rng: np.random.Generator, size: int) -> NDArray:
    start, end = rng.permutation([rng.uniform(0, 0.3), rng.uniform(0.6, 1)])
    if rng.random() < 0.5:
        return start + (end - start) * (_ramp(rng.uniform(0, 2 * np.pi), size) + 0.5)
    row, column = np.indices((size, size)) / size - rng.uniform(0.3, 0.7, (2, 1, 1))
    return start + (end - start) * np.hypot(row, column)


def _blank(rng: np.random.Generator, size: int) -> NDArray:
    """Nearly one value: a constant picture is refused as it is read."""
    return rng.choice([0.0, 0.5, 1.0]) + rng.normal(0, rng.uniform(0.002, 0.01), (size, size))


def _ramp(angle: float, size: int) -> NDArray:
    """A plane from -0.5 to 0.5 or less, rising in the direction ``angle``."""
    row, column = (np.indices((size, size)) + 0.5) / size - 0.5
    return (np.cos(angle) * column + np.sin(angle) * row) / (abs(np.cos(angle)) + abs(np.sin(angle)))


_DRAWN: dict[str, Callable[[np.random.Generator, int], NDArray]] = {
    "uniform noise": _uniform_noise,
    "Gaussian noise": _gaussian_noise,
    "smooth noise": _smooth_noise,
    "checkerboard": _checkerboard,
    "stripes": _stripes,
    "gradient": _gradient,
    "blank": _blank,
}
PROBE_KINDS: tuple[str, ...] = (*_DRAWN, *SAMPLES)
"""What the probes show."""
