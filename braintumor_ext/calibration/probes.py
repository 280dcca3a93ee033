"""Pictures that are no brain MRI: noise, patterns, blanks, and scenes drawn from a seed, to measure a detector on."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom
from sklearn.datasets import load_sample_image

from braintumor_ext.keys import IMAGE

Grey = NDArray[np.float32]
KIND = "kind"
"""What a probe shows; a key of its item."""


def draw_probe(kind: str, variant: int = 0, size: int = 192, seed: int = 0) -> Grey:
    """Draw one picture that is no brain MRI.

    The same arguments give the same picture.

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
    if kind not in _DRAWN:
        raise ValueError(f"there is no probe {kind!r}: valid are {', '.join(PROBE_KINDS)}.")
    if size < 32:
        raise ValueError(f"size must be at least 32, not {size}.")
    # a stream for each picture: it stays the same when kinds or variants are added
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), variant])
    return np.clip(_DRAWN[kind](rng, size), 0, 1).astype(np.float32)


def probe_items(variants: int = 8, size: int = 192, seed: int = 0) -> list[dict[str, Any]]:
    """Return items for the bundle's preprocessing: ``image`` (size, size) in [0, 1], and ``kind``.

    Args:
        variants: pictures of each kind.
        size: side in pixels.
        seed: of all pictures.
    """
    return [
        {IMAGE: draw_probe(kind, variant, size, seed), KIND: kind}
        for kind in PROBE_KINDS
        for variant in range(variants)
    ]


# --- noise, patterns and blanks


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


# --- scenes


def _landscape(rng: np.random.Generator, size: int) -> NDArray:
    """Sky, sun, hills in three distances, trees."""
    row, column = np.indices((size, size)) / size
    scene = rng.uniform(0.6, 0.95) - rng.uniform(0.1, 0.4) * row
    sun_row, sun_column = rng.uniform(0.08, 0.3), rng.uniform(0.1, 0.9)
    scene[np.hypot(row - sun_row, column - sun_column) < rng.uniform(0.03, 0.08)] = 1.0
    for depth, shade in enumerate((0.55, 0.4, 0.25)):
        crest = (
            0.4
            + 0.15 * depth
            + sum(0.06 / k * np.sin(2 * np.pi * k * column + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3, 5))
        )
        scene = np.where(row > crest, shade + rng.normal(0, 0.03, row.shape), scene)
    picture = _canvas(scene)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(2, 6))):
        x, foot, height = rng.uniform(0.05, 0.95), rng.uniform(0.8, 0.95), rng.uniform(0.15, 0.35)
        _box(draw, size, x - 0.01, foot - height / 3, x + 0.01, foot, 0.15)
        _polygon(
            draw,
            size,
            [(x - height / 4, foot - height / 4), (x + height / 4, foot - height / 4), (x, foot - height)],
            0.1,
        )
    return _photographed(picture, rng)


def _room(rng: np.random.Generator, size: int) -> NDArray:
    """Walls, a window, a picture, a table and a cupboard with their shadows."""
    wall, floor = rng.uniform(0.55, 0.85), rng.uniform(0.3, 0.5)
    corner, horizon = rng.uniform(0.25, 0.6), rng.uniform(0.55, 0.7)
    picture = _canvas(np.full((size, size), wall))
    draw = ImageDraw.Draw(picture)
    _polygon(draw, size, [(0, 0), (corner, 0.1), (corner, horizon), (0, 0.95)], wall - 0.15)
    _polygon(draw, size, [(0, 0.95), (corner, horizon), (1, horizon), (1, 1), (0, 1)], floor)
    x = rng.uniform(corner + 0.02, 0.7)
    _box(draw, size, x, 0.15, x + 0.25, 0.42, 0.98)
    _box(draw, size, x + 0.12, 0.15, x + 0.13, 0.42, 0.4)
    _box(draw, size, x, 0.28, x + 0.25, 0.29, 0.4)
    for _ in range(int(rng.integers(2, 5))):
        left, top = rng.uniform(0.05, 0.75), rng.uniform(0.45, 0.75)
        width, height, shade = rng.uniform(0.12, 0.3), rng.uniform(0.12, 0.3), rng.uniform(0.1, 0.9)
        bottom = top + height
        shadow = [
            (left, bottom),
            (left + width, bottom),
            (left + width + 0.12, bottom - 0.06),
            (left + 0.12, bottom - 0.06),
        ]
        _polygon(draw, size, shadow, floor * 0.5)
        _box(draw, size, left, top, left + width, bottom, shade)
        _polygon(
            draw,
            size,
            [(left, top), (left + 0.06, top - 0.05), (left + width + 0.06, top - 0.05), (left + width, top)],
            shade * 0.8 + 0.2,
        )
    return _photographed(picture, rng)


def _face(rng: np.random.Generator, size: int) -> NDArray:
    """A face from the front before a light or dark wall: an oval with hair, eyes, nose and mouth."""
    picture = _canvas(np.full((size, size), rng.choice([0.15, 0.5, 0.85])))
    draw = ImageDraw.Draw(picture)
    x, y, wide, high = rng.uniform(0.42, 0.58), rng.uniform(0.45, 0.55), rng.uniform(0.2, 0.28), rng.uniform(0.28, 0.36)
    skin, hair = rng.uniform(0.45, 0.85), rng.uniform(0.05, 0.3)
    _box(draw, size, x - 0.35, y + high + 0.08, x + 0.35, 1.0, rng.uniform(0.2, 0.8))
    _box(draw, size, x - 0.08, y + high * 0.7, x + 0.08, y + high + 0.12, skin * 0.85)
    _oval(draw, size, x, y - 0.05, wide * 1.15, high * 1.1, hair)
    _oval(draw, size, x, y + 0.03, wide, high * 0.95, skin)
    for side in (-1, 1):
        eye = x + side * wide * 0.42
        _oval(draw, size, eye, y - 0.03, 0.05, 0.025, 0.95)
        _oval(draw, size, eye, y - 0.03, 0.02, 0.02, 0.1)
        _box(draw, size, eye - 0.05, y - 0.09, eye + 0.05, y - 0.075, hair)
    _polygon(draw, size, [(x, y - 0.02), (x + 0.035, y + 0.1), (x - 0.035, y + 0.1)], skin * 0.8)
    _oval(draw, size, x, y + 0.18, rng.uniform(0.05, 0.1), rng.uniform(0.01, 0.035), 0.3)
    return _photographed(picture, rng)


def _text_page(rng: np.random.Generator, size: int) -> NDArray:
    """Lines of words, each a few upright strokes and bows: no font is needed."""
    picture = _canvas(np.full((size, size), rng.uniform(0.85, 1)))
    draw = ImageDraw.Draw(picture)
    line, margin = rng.uniform(0.035, 0.06), rng.uniform(0.05, 0.12)
    y = margin
    while y < 1 - margin:
        x, end = margin, 1 - margin - rng.choice([0, 0, 0, 0.3])
        while x < end:
            for _ in range(int(rng.integers(2, 9))):
                if x > end:
                    break
                top = y if rng.random() < 0.3 else y + line * 0.2
                _box(draw, size, x, top, x + line * 0.08, y + line * 0.6, 0.1)
                if rng.random() < 0.7:
                    _box(
                        draw,
                        size,
                        x,
                        y + line * 0.55 * rng.random(),
                        x + line * 0.3,
                        y + line * 0.6 * rng.random(),
                        0.1,
                    )
                x += line * 0.42
            x += line * 0.4
        y += line
    return _photographed(picture, rng, blur=0.3)


def _hand(rng: np.random.Generator, size: int) -> NDArray:
    """A hand as a radiograph shows it: bright bones in a grey palm on black."""
    picture = _canvas(np.full((size, size), rng.uniform(0, 0.08)))
    draw = ImageDraw.Draw(picture)
    flesh, bone = rng.uniform(0.2, 0.35), rng.uniform(0.65, 0.95)
    wrist = np.array([rng.uniform(0.45, 0.55), 0.95])
    turn = rng.normal(0, 0.1)
    for shade, thick in ((flesh, 2.6), (bone, 1.0)):
        for finger, angle in enumerate(np.array([-0.75, -0.28, 0.0, 0.26, 0.52]) + turn):
            way = np.array([np.sin(angle), -np.cos(angle)])
            reach = np.array([0.0, 0.36, 0.54, 0.66, 0.75]) * (0.75 if finger == 0 else 1.0 - 0.06 * abs(finger - 2))
            for a, b in pairwise(reach):
                gap = 0.012 if shade == bone else 0.0
                ends = [tuple((wrist + way * r) * size) for r in (a + gap + 0.06, b - gap + 0.06)]
                draw.line(ends, fill=round(shade * 255), width=max(int(0.028 * thick * size), 2))
        if shade == flesh:
            _oval(draw, size, wrist[0], 0.75, 0.22, 0.2, flesh)
    return _photographed(picture, rng)


def _photograph(rng: np.random.Generator, size: int) -> NDArray:
    """A square of a real photograph: a temple or a flower, the two that scikit-learn brings along."""
    picture = Image.fromarray(load_sample_image(str(rng.choice(["china.jpg", "flower.jpg"])))).convert("L")
    side = int(rng.uniform(0.4, 1) * min(picture.size))
    left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
    square = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square, dtype=float) / 255


# --- what the scenes are drawn with; places are shares of the picture's side


def _ramp(angle: float, size: int) -> NDArray:
    """A plane from -0.5 to 0.5 or less, rising in the direction ``angle``."""
    row, column = (np.indices((size, size)) + 0.5) / size - 0.5
    return (np.cos(angle) * column + np.sin(angle) * row) / (abs(np.cos(angle)) + abs(np.sin(angle)))


def _canvas(grey: NDArray) -> Image.Image:
    return Image.fromarray(np.uint8(np.clip(grey, 0, 1) * 255))


def _box(
    draw: ImageDraw.ImageDraw, size: int, left: float, top: float, right: float, bottom: float, grey: float
) -> None:
    x, y = sorted((left * size, right * size)), sorted((top * size, bottom * size))
    draw.rectangle([x[0], y[0], x[1], y[1]], fill=round(grey * 255))


def _oval(draw: ImageDraw.ImageDraw, size: int, x: float, y: float, wide: float, high: float, grey: float) -> None:
    draw.ellipse([(x - wide) * size, (y - high) * size, (x + wide) * size, (y + high) * size], fill=round(grey * 255))


def _polygon(draw: ImageDraw.ImageDraw, size: int, corners: list[tuple[float, float]], grey: float) -> None:
    draw.polygon([(x * size, y * size) for x, y in corners], fill=round(grey * 255))


def _photographed(picture: Image.Image, rng: np.random.Generator, blur: float = 0.8) -> NDArray:
    """The scene as a camera sees it: uneven light, a little blur, grain and texture."""
    grey = np.asarray(picture, dtype=float) / 255
    size = grey.shape[0]
    light = zoom(rng.uniform(0.75, 1.1, (4, 4)), size / 4, order=1, grid_mode=True, mode="nearest")[:size, :size]
    texture = gaussian_filter(rng.normal(0, 0.05, grey.shape), 1.0)
    return gaussian_filter(grey * light, blur * size / 192) + texture + rng.normal(0, 0.01, grey.shape)


_DRAWN: dict[str, Callable[[np.random.Generator, int], NDArray]] = {
    "uniform noise": _uniform_noise,
    "Gaussian noise": _gaussian_noise,
    "smooth noise": _smooth_noise,
    "checkerboard": _checkerboard,
    "stripes": _stripes,
    "gradient": _gradient,
    "blank": _blank,
    "landscape": _landscape,
    "room": _room,
    "face": _face,
    "text page": _text_page,
    "hand": _hand,
    "photograph": _photograph,
}
PROBE_KINDS: tuple[str, ...] = tuple(_DRAWN)
"""What the probes show."""
