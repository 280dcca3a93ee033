"""Small folders of slices for the tests of preparation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage


def grey_slice(seed: int, height: int = 60, width: int = 56) -> np.ndarray:
    """Return smooth noise, (H, W) uint8: slices of different seeds are no near-duplicates."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 3)
    return np.uint8(255 * (noise - noise.min()) / (noise.max() - noise.min()))


def write_slice(path: Path, seed: int, height: int = 60, width: int = 56) -> Path:
    """Write a slice, lossless or by the suffix's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey_slice(seed, height, width)).save(path)
    return path


def write_mask_file(path: Path, height: int = 60, width: int = 56) -> Path:
    """Write a one-bit mask with 8 x 10 tumour pixels."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[20:28, 30:40] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).convert("1").save(path)
    return path


def class_folders(root: Path, per_class: int = 8, start: int = 0) -> Path:
    """Write ``per_class`` slices a0.png, a1.png, ... of each of the four classes."""
    for number, name in enumerate(("glioma_tumor", "meningioma_tumor", "pituitary_tumor", "no_tumor")):
        for index in range(per_class):
            write_slice(root / name / f"a{index}.png", seed=start + 1000 * number + index)
    return root
