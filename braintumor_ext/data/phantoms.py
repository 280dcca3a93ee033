"""Synthetic slices: a small data set of contrast-enhanced T1-like heads with true tumour masks, drawn from a seed.

A head is a function of space (``phantom_head``), so its slices agree with each other in any plane.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from braintumor_ext.classes import CLASSES
from braintumor_ext.data.phantom_head import Head, draw_head
from braintumor_ext.data.phantom_shapes import Array
from braintumor_ext.errors import InputError

PLANES: tuple[str, ...] = ("axial", "coronal", "sagittal")
"""The planes of the slices, in the order in which a head's slices take turns."""

FOLDERS: dict[str, str] = {
    "glioma": "glioma_tumor",
    "meningioma": "meningioma_tumor",
    "pituitary": "pituitary_tumor",
    "no_tumor": "no_tumor",
}
"""Class name to folder name, as in the public data set."""

FIELD_OF_VIEW: dict[str, float] = {"axial": 212.0, "coronal": 222.0, "sagittal": 236.0}
"""Side of a slice in mm in each plane, before a head's own zoom."""

# Column and row directions of each plane on the screen: axial from above with the forehead on top, coronal from the
# front, sagittal facing left.
_AXES = {
    "axial": ((1, 0, 0), (0, -1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, -1, 0), (0, 0, -1)),
}
# What stands in the middle of the picture.
_VIEW_CENTRES = {"axial": (0, 0, 0), "coronal": (0, 0, -14), "sagittal": (0, 6, -24)}


def slice_points(head: Head, plane: str, shift: float, roll: float, size: int) -> Array:
    """Return where a slice's pixels lie in the mean head, (3, size * size) in mm, row by row.

    ``shift`` is the distance of the cut from the head's target in mm, ``roll`` its rotation in the plane in radians.
    """
    turn = _rotation(head.tilt)
    across, down = (turn @ np.array(axis, dtype=float) for axis in _AXES[plane])
    normal = np.cross(across, down)
    middle = np.array(_VIEW_CENTRES[plane], dtype=float)
    middle += normal * (normal @ (head.target - middle) + shift)
    cos, sin = np.cos(roll), np.sin(roll)
    across, down = cos * across + sin * down, cos * down - sin * across
    mm = (np.arange(size) + 0.5 - size / 2) * FIELD_OF_VIEW[plane] / (size * head.zoom)
    grid = middle[:, None, None] + down[:, None, None] * mm[None, :, None] + across[:, None, None] * mm[None, None, :]
    return head.anatomical(grid.reshape(3, -1).astype(np.float32))


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def phantom_slice(
    head: Head, plane: str, rng: np.random.Generator, size: int = 192
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut one slice near the head's target and let a scanner look at it.

    Its place, rotation, bias field, blur and noise are drawn. Return the picture, (size, size) in 0..255, and the
    tumour mask, (size, size).
    """
    shift, roll = rng.uniform(-1, 1) * head.spread, rng.normal(0, 0.06)
    signal, mask = head.render(slice_points(head, plane, shift, roll, size))
    return scan(signal.reshape(size, size), rng), mask.reshape(size, size)


def scan(signal: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture of a signal, (H, W): with blur, a smooth bias field, gain and Rician noise, in 0..255."""
    size = signal.shape[0]
    blurred = gaussian_filter(signal, rng.uniform(0.25, 0.6) * size / 192)
    row, column = np.meshgrid(*(np.linspace(-1, 1, n) for n in signal.shape), indexing="ij")
    a, b, c, d = rng.normal(0, 0.08, 4)
    field = np.exp(a * row + b * column + c * (row**2 - 0.3) + d * (column**2 - 0.3))
    seen = blurred * field * rng.uniform(0.85, 1.05)
    sigma = rng.uniform(0.008, 0.022)
    # The magnitude of a complex signal with Gaussian noise in both channels: Gudbjartsson & Patz 1995.
    noisy = np.hypot(seen + rng.normal(0, sigma, seen.shape), rng.normal(0, sigma, seen.shape))
    return np.clip(noisy * 235, 0, 255).round().astype(np.uint8)


def make_phantoms(
    output: str | Path,
    heads: int = 80,
    slices_per_head: int = 4,
    size: int = 192,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write a data set of synthetic slices with true masks and groups, in the layout of the public data set.

    ``Training/<class folder>/<name>.png`` (8-bit grey), ``masks/<class folder>/<name>.png`` (1-bit, tumour classes
    only) and ``groups.csv``, in which a group is a head. Heads take the classes in turn. The same arguments give the
    same bytes, and head number n is the same whatever the number of heads. Return the folder.

    Args:
        output: the folder to write; it may not exist, be empty, or hold such a data set of the same shape.
        heads: number of synthetic patients.
        slices_per_head: number of slices of each; the planes take turns.
        size: side of a slice in pixels, at least 32.
        seed: of the whole data set, not negative.
        progress: show a progress bar on stderr.

    Raises:
        InputError: if ``output`` is a file or holds anything else.
        ValueError: if a number is out of range.
    """
    least_of = {"heads": 1, "slices_per_head": 1, "size": 32, "seed": 0}
    for (name, least), value in zip(least_of.items(), (heads, slices_per_head, size, seed), strict=True):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    root = Path(output)
    _refuse_other_content(root, [_name(h, k) for h in range(heads) for k in range(slices_per_head)])
    rows = [("image", "group", "group_source", "mask_source")]
    with tqdm(total=heads * slices_per_head, desc="phantoms", unit="slice", disable=not progress) as bar:
        for h in range(heads):
            # Streams of their own: a head stays the same when others are added, a slice when its head gets more.
            head = draw_head(np.random.default_rng([seed, h]), _class_name(h))
            for k in range(slices_per_head):
                image, mask = phantom_slice(head, _plane(h, k), np.random.default_rng([seed, h, k + 1]), size)
                _save(Image.fromarray(image), root / "Training" / _name(h, k))
                if head.tumour is not None:
                    _save(Image.fromarray(mask), root / "masks" / _name(h, k))
                rows.append((_name(h, k), f"head{h:03d}", "phantom", "phantom" if head.tumour else "empty"))
                bar.update()
    with (root / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return root


def _class_name(head: int) -> str:
    return CLASSES[head % len(CLASSES)]


def _plane(head: int, k: int) -> str:
    """The plane of a head's slice number ``k``: in turn, and as often in each class."""
    return PLANES[(head // len(CLASSES) + k) % len(PLANES)]


def _name(head: int, k: int) -> str:
    return f"{FOLDERS[_class_name(head)]}/head{head:03d}_{k + 1}_{_plane(head, k)}.png"


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _refuse_other_content(root: Path, names: Sequence[str]) -> None:
    """Raise unless every file below ``root`` is one that this run writes anyway."""
    remedy = "Give a new or empty folder"
    if root.exists() and not root.is_dir():
        raise InputError(root, "is a file, not a folder", remedy)
    own = {root / "groups.csv", *(root / part / name for part in ("Training", "masks") for name in names)}
    for path in root.rglob("*"):
        if path.is_file() and path not in own:
            raise InputError(root, f"already holds {path.relative_to(root)}, which is not of this data set", remedy)
