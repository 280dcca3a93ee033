"""What is done to pictures when they are copied."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image
from scipy import ndimage

from braintumor_ext.data.thumbnails import picture_frame

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From a slice, (H, W) in [0, 1], to a copy of it, of any size."""


def unchanged(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same picture."""
    return grey


def mirrored(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left for right."""
    return grey[:, ::-1]


def resized(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """To 40 to 90% of its sides, each by itself."""
    height, width = (max(8, round(side * rng.uniform(0.4, 0.9))) for side in grey.shape)
    return np.asarray(_picture(grey).resize((width, height))) / 255


def encoded(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As JPEG of quality 30 to 80."""
    buffer = io.BytesIO()
    _picture(grey).save(buffer, "JPEG", quality=int(rng.integers(30, 81)))
    return np.asarray(Image.open(buffer)) / 255


def letter_boxed(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With bars of up to a quarter of its shorter side: black, grey or white."""
    return np.pad(grey, rng.integers(0, min(grey.shape) // 4, (2, 2)), constant_values=rng.choice([0, 0.5, 1]))


def cropped(grey: np.ndarray, rng: np.random.Generator, cut: float) -> np.ndarray:
    """Without a share of what is seen at each of the four edges; cutting off background alone would not count."""
    left, top, right, bottom = picture_frame(grey)
    x, y = round(cut * (right - left)), round(cut * (bottom - top))
    return grey[top + y : bottom - y, left + x : right - x]


def turned(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By up to 6 degrees."""
    return np.clip(ndimage.rotate(grey, rng.uniform(-6, 6), reshape=False, order=1), 0, 1)


def toned(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of other brightness, contrast and gamma."""
    return np.clip(grey ** rng.uniform(0.7, 1.4) * rng.uniform(0.7, 1.2) + rng.uniform(-0.05, 0.1), 0, 1)


def all_of(*changes: Change) -> Change:
    """Return the changes, one after the other, as one."""

    def change(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for one in changes:
            grey = one(grey, rng)
        return grey

    return change


CROPPED = {percent: partial(cropped, cut=percent / 100) for percent in (5, 10, 15)}

CHANGES: dict[str, Change] = {
    "plain": unchanged,
    "mirrored": mirrored,
    "resized to 40-90%": resized,
    "JPEG of quality 30-80": encoded,
    "letter-boxed": letter_boxed,
    **{f"cropped by {percent}% at each edge": change for percent, change in CROPPED.items()},
    "turned by up to 6 degrees": turned,
    "brightness, contrast, gamma": toned,
    "mirrored, cropped by 10%": all_of(mirrored, CROPPED[10]),
    "cropped by 5%, turned, JPEG": all_of(CROPPED[5], turned, encoded),
    "all but crops": all_of(mirrored, turned, toned, resized, encoded, letter_boxed),
    "all, cropped by 10%": all_of(mirrored, CROPPED[10], turned, toned, resized, encoded, letter_boxed),
}
"""The kinds of copies, by name."""


def _picture(grey: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(grey * 255).astype(np.uint8))
