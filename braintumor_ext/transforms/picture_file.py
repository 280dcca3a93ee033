"""Pictures (PNG, JPEG, BMP, TIFF, GIF) through Pillow: rows from the top, as a person sees them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.grid import SliceGrid, flat_grid

_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF")
# What Pillow's plugins raise on broken files.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)
_EXIF_ORIENTATION = 0x0112
_READABLE_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "F")
_BITS = {"1": 1, "I": 32, "F": 32}


def picture_grid(path: Path) -> SliceGrid:
    """Return a picture's grid without decoding its pixels.

    Args:
        path: a picture. An EXIF orientation is honoured: the grid is that of the picture as it is shown.

    Raises:
        InputError: if Pillow does not know the format.
    """
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8):
            width, height = height, width
        bits = 16 if image.mode.startswith("I;16") else _BITS.get(image.mode, 8)
        return flat_grid(height, width, slices=_frame_count(image), bits=bits)


def picture_pixels(path: Path) -> np.ndarray:
    """Return the frames of a picture, (frames, C, H, W), values as stored; palettes and rarer modes become RGB(A).

    Args:
        path: a picture with one frame or more of one size.

    Raises:
        InputError: if it is truncated, damaged or has frames of several sizes.
    """
    with _opened(path) as image:
        frames = []
        for index in range(_frame_count(image)):
            image.seek(index)
            # exif_transpose copies the frame, which also decodes it: a truncated file fails here.
            frames.append(_readable(ImageOps.exif_transpose(image)))
    if len({frame.mode for frame in frames}) > 1:  # Pillow gives a GIF's first frame by palette, the others in colour
        frames = [frame.convert("RGB") for frame in frames]
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) > 1:
        raise InputError(
            path, f"has frames of several sizes (width, height): {sizes}", "Save each frame as its own file"
        )
    arrays = [np.asarray(frame) for frame in frames]
    return np.stack([a[None] if a.ndim == 2 else np.moveaxis(a, -1, 0) for a in arrays])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        if ImageFile.LOAD_TRUNCATED_IMAGES:  # a library's global switch would turn a broken file into a half-grey slice
            _refuse_truncated(path)
        with Image.open(path, formats=_FORMATS) as image:
            yield image
    except InputError:
        raise
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise InputError(path, f"is truncated or damaged ({reason})", "Copy it again from its source") from error


def _refuse_truncated(path: Path) -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = True


def _frame_count(image: Image.Image) -> int:
    # The further pictures of an MPO (phones write .jpg files so) are previews of the first.
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def _readable(image: Image.Image) -> Image.Image:
    if image.mode in _READABLE_MODES or image.mode.startswith("I;16"):
        return image
    has_alpha = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")
