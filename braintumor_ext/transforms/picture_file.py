"""Pictures (PNG, JPEG, BMP, TIFF, GIF) through Pillow: rows from the top, as a person sees them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_image, read_file

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.grid import SliceGrid, flat_grid

_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF", "WEBP")
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
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_SAMPLE_KINDS = {1: "whole numbers", 2: "signed whole numbers", 3: "floating-point numbers"}
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
        # Pillow turns a TIFF's size itself.
        if image.format != "TIFF" and image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8):
            width, height = height, width
        deep = image.mode.startswith("I;16") or _is_deep_png(path) or _is_signed_byte(image)
        bits = 16 if deep else _BITS.get(image.mode, 8)
        return flat_grid(height, width, slices=_frame_count(image), bits=bits)


def picture_pixels(path: Path, labels: bool = False) -> np.ndarray:
    """Return the frames of a picture, (frames, C, H, W), values as stored; palettes and rarer modes become RGB(A).

    Args:
        path: a picture with one frame or more of one size.
        labels: whether it is a mask: of a palette then the indices count, as annotation tools write labels so, in
            whatever colours.

    Raises:
        InputError: if it is truncated, damaged or has frames of several sizes.
    """
    if _is_deep_png(path):
        return _deep_png(path)
    with _opened(path) as image:
        _refuse_inverted(path, image)
        signed = _is_signed_byte(image)
        frames = []
        for index in range(_frame_count(image)):
            image.seek(index)
            # exif_transpose copies the frame, which also decodes it: a truncated file fails here.
            frame = ImageOps.exif_transpose(image)
            frames.append(_indices(frame) if labels and frame.mode in ("P", "PA") else _readable(frame))
    if len({frame.mode for frame in frames}) > 1:  # Pillow gives a GIF's first frame by palette, the others in colour
        frames = [frame.convert("RGB") for frame in frames]
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) > 1:
        raise InputError(
            path, f"has frames of several sizes (width, height): {sizes}", "Save each frame as its own file"
        )
    arrays = [np.asarray(frame).view(np.int8) if signed else np.asarray(frame) for frame in frames]
    return np.stack([a[None] if a.ndim == 2 else np.moveaxis(a, -1, 0) for a in arrays])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        if ImageFile.LOAD_TRUNCATED_IMAGES:  # a library's global switch would turn a broken file into a half-grey slice
            _refuse_truncated(path)
        # A file, not its path: of that Pillow maps plain TIFF into memory, and then mixes up the rows of turned ones.
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
            yield image
    except InputError:
        raise
    except _BROKEN as error:
        if isinstance(error, UnidentifiedImageError) and (kind := _tiff_values(path)) is not None:
            remedy = "Save it as whole numbers of 8 or 16 bits, or as 32-bit floating-point numbers"
            raise InputError(path, f"is a TIFF of {kind}, which is not read", remedy) from error
        reason = str(error) or type(error).__name__
        raise InputError(path, f"is truncated or damaged ({reason})", "Copy it again from its source") from error


def _tiff_values(path: Path) -> str | None:
    """Say what numbers a TIFF holds that Pillow does not know; None of any other file, or a broken one."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return None
            if head[2:3] == b"+" or head[3:4] == b"+":  # of more than 4 GB, or written for it
                head += file.read(8)
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
            bits, kinds = tags.get(_BITS_PER_SAMPLE, (1,)), tags.get(_SAMPLE_FORMAT, (1,))
    except _BROKEN:
        return None
    if bits[0] <= 32 and kinds[0] != 3:
        return None
    return f"{bits[0]}-bit {_SAMPLE_KINDS.get(kinds[0], 'values')}"


def _is_deep_png(path: Path) -> bool:
    """Return whether a file is a PNG of 16 bits with colours or alpha, of which Pillow keeps the upper 8."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[:4] == b"\x89PNG" and head[24:25] == b"\x10" and head[25:26] in (b"\x02", b"\x04", b"\x06")


def _deep_png(path: Path) -> np.ndarray:
    with _opened(path):  # an unreadable file, or one of too many pixels, is told as for other pictures
        pass
    try:
        return decode_image(read_file(str(path)), ImageReadMode.UNCHANGED).numpy()[None]
    except RuntimeError as error:
        raise InputError(path, f"is truncated or damaged ({error})", "Copy it again from its source") from error


def _is_signed_byte(image: Image.Image) -> bool:
    """Return whether a picture is a TIFF of signed bytes, which Pillow takes for unsigned ones."""
    tags = getattr(image, "tag_v2", {})
    return image.mode == "L" and tags.get(_SAMPLE_FORMAT) == (2,)


def _refuse_inverted(path: Path, image: Image.Image) -> None:
    """Refuse a TIFF in which 0 is white where Pillow does not turn it round: at more than 8 bits."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == 0 and image.mode not in ("1", "L"):
        raise InputError(path, "is a TIFF of more than 8 bits in which 0 is white", "Save it with black as 0")


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


def _indices(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.getchannel(0)))


def _readable(image: Image.Image) -> Image.Image:
    if image.mode in _READABLE_MODES or image.mode.startswith("I;16"):
        return image
    has_alpha = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")
