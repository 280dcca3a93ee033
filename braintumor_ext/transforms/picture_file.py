"""Pictures (PNG, JPEG, BMP, TIFF, GIF) through Pillow: rows from the top, as a person sees them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_image, read_file

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.formats import BROKEN, telling_damage
from braintumor_ext.transforms.grid import SliceGrid, flat_grid
from braintumor_ext.transforms.limits import DEFLATE, JPEG, MOST_PIXELS, check_held, check_size, more_by
from braintumor_ext.transforms.shrink import shrunk, whole_factors

_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF", "WEBP")
_DAMAGED = "is truncated or damaged"
_EXIF_ORIENTATION = 0x0112
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_SAMPLE_KINDS = {1: "whole numbers", 2: "signed whole numbers", 3: "floating-point numbers"}
_MIXED_MODES = {"L", "LA", "RGB", "RGBA"}
"""Modes that the frames of one picture may have beside each other: 8 bits a channel."""
_READABLE_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "F")
_BITS = {"1": 1, "I": 32, "F": 32}
_CUT_MODES = ("L", "LA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB")
_CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "LA": 2, "PA": 4, "La": 2, "RGBA": 4, "RGBa": 4, "CMYK": 4}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PNG_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced PNG: the first column and row of each pass, and the steps to the next (PNG, section 8.2)."""
_JPEG_FILLING = 128  # what libjpeg puts where a file's data end before its rows do
_BAND = 2**22  # pixels of a large picture that are taken out of Pillow's memory at a time
if Image.MAX_IMAGE_PIXELS is not None and MOST_PIXELS > Image.MAX_IMAGE_PIXELS:
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # the environment asked for more


def picture_grid(path: Path) -> SliceGrid:
    """Return a picture's grid as it is shown (an EXIF orientation is honoured), without decoding its pixels.

    Raises:
        InputError: if Pillow does not know the format or would cut its values to 8 bits, or the header asks for more
            than the limits or than the file can hold (see `transforms.limits`).
    """
    with _opened(path) as image:
        _refuse_cut_tiff(path, image)
        height, width = _shown_size(image)
        deep = image.mode.startswith("I;16") or _is_deep_png(path) or _stored_type(image) is not None
        bits = _BITS.get(image.mode, 16 if deep else 8)
        return flat_grid(height, width, slices=_frame_count(image), bits=bits)


def picture_pixels(path: Path, labels: bool = False, shrink: bool = False) -> np.ndarray:
    """Return the frames of a picture, (frames, C, H, W), values as stored; palettes and rarer modes become RGB(A).

    Of a palette of ``labels`` the indices count, as annotation tools write labels so, in whatever colours. ``shrink``
    makes a very large picture smaller by whole factors (see `transforms.shrink`).

    Raises:
        InputError: if it is truncated, damaged, has frames of several sizes or kinds of pixel (of a mask also indices
            beside colours), or asks for more than the limits.
    """
    if _is_deep_png(path):
        pixels = _deep_png(path)
        factors = whole_factors(*pixels.shape[-2:]) if shrink else (1, 1)
        return pixels if factors == (1, 1) else shrunk(pixels, factors, labels)
    with _opened(path) as image:
        factors = whole_factors(*_shown_size(image)) if shrink else (1, 1)
        frames = _frames(path, image, factors, labels)
        _refuse_short_png(path)  # after decoding, which knows more precise words for other damage
        return frames


def _frames(
    path: Path, image: Image.Image, factors: tuple[int, int], labels: bool, colour: str | None = None
) -> np.ndarray:
    """Return all frames in one array, each put there as it is decoded, in the mode ``colour`` (None: its own)."""
    stored, count = _stored_type(image), _frame_count(image)
    pixels, first = np.empty(0), None
    for index in range(count):
        image.seek(index)
        if factors == (1, 1):
            # exif_transpose copies the frame, which also decodes it: a truncated file fails here.
            frame = _taken(ImageOps.exif_transpose(image), labels, colour)
            found, values = (frame.mode, frame.size), _channels_first(frame, stored)
        else:
            found, values = _shrunk_frame(image, factors, labels, colour, stored)
        if image.format in ("JPEG", "MPO") and (values[..., -1, :] == _JPEG_FILLING).all():
            problem = f"ends in rows of the grey {_JPEG_FILLING} that a decoder puts where pixels are missing"
            raise InputError(path, problem, "Copy it again from its source, or save it as PNG if the grey is meant")
        if first is None:
            pixels, first = np.empty((count, *values.shape), values.dtype), found
        if found[1] != first[1]:
            sizes = sorted({first[1], found[1]})
            problem = f"has frames of several sizes (width, height): {sizes}"
            raise InputError(path, problem, "Save each frame as its own file")
        if found[0] != first[0]:  # Pillow gives a GIF's first frame by palette, the others in colour
            if labels or not {found[0], first[0]} <= _MIXED_MODES:
                problem = f"has frames of several kinds of pixel: {first[0]} and {found[0]}"
                raise InputError(path, problem, "Save each frame as its own file")
            return _frames(path, image, factors, labels, "RGB")
        pixels[index] = values
    return pixels


def _shrunk_frame(
    image: Image.Image, factors: tuple[int, int], labels: bool, colour: str | None, stored: np.dtype | None
) -> tuple[tuple[str, tuple[int, int]], np.ndarray]:
    """Return the mode and size of a frame, and its values shrunk, (C, rows, columns), without a whole copy of it."""
    down, across = factors
    step = min(down, across, 8)
    if image.format == "JPEG" and step > 1:  # which is decoded at an eighth, a quarter or half of its size
        width, height = image.size
        image.draft(None, (width // step, height // step))
        down, across = (down // step, across // step) if image.size != (width, height) else factors
    ImageOps.exif_transpose(image, in_place=True)  # also decodes it
    width, height = image.size
    band, parts, mode = max(_BAND // width // down, 1) * down, [], ""
    for top in range(0, height, band):
        part = _taken(image.crop((0, top, width, min(top + band, height))), labels, colour)
        mode = part.mode
        parts.append(shrunk(_channels_first(part, stored), (down, across), labels))
    return (mode, (width, height)), np.concatenate(parts, axis=-2)


def _taken(frame: Image.Image, labels: bool, colour: str | None) -> Image.Image:
    """Return a frame in a mode whose values count."""
    frame = _indices(frame) if labels and frame.mode in ("P", "PA") else _readable(frame)
    return frame if colour is None else frame.convert(colour)


def _channels_first(frame: Image.Image, stored: np.dtype | None) -> np.ndarray:
    values = np.asarray(frame)
    values = values if stored is None else values.view(stored)
    return values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)


def _shown_size(image: Image.Image) -> tuple[int, int]:
    """Return the rows and columns of a picture as it is shown."""
    width, height = image.size
    # Pillow turns a TIFF's size itself.
    if image.format != "TIFF" and image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8):
        width, height = height, width
    return height, width


def _check_claims(path: Path, image: Image.Image) -> None:
    """Refuse a picture that asks for more than the limits, or claims more than its file can hold."""
    width, height = image.size
    deep = image.mode.startswith("I;16")
    pixel_bytes = 2 if deep else _CHANNELS.get(image.mode, 3) * (4 if image.mode in ("I", "F") else 1)
    png = _png_pixel(path)
    if png is not None:
        depth, channels = png
        pixel_bytes = channels * 2 if depth == 16 else pixel_bytes
        check_held(path, height * (1 + -(-width * depth * channels // 8)), path.stat().st_size, DEFLATE)
    elif image.format in ("JPEG", "MPO"):
        check_held(path, height * width, path.stat().st_size, JPEG)
    check_size(path, height, width, 1, pixel_bytes)  # before frames are counted, which takes time
    check_size(path, height, width, _frame_count(image), pixel_bytes)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with telling_damage(path, _DAMAGED):
        try:
            if ImageFile.LOAD_TRUNCATED_IMAGES:  # a library's switch would turn a broken file into a half-grey slice
                _refuse_truncated(path)
            # A file, not its path: of that Pillow maps plain TIFF into memory, and then mixes up rows of turned ones.
            with path.open("rb") as file, Image.open(file, formats=_FORMATS) as image:
                _check_claims(path, image)
                yield image
        except Image.DecompressionBombError as error:
            problem = f"has more than the {MOST_PIXELS:,} pixels that are read ({error})"
            raise InputError(path, problem, more_by("MOST_PIXELS")) from error
        except UnidentifiedImageError as error:
            if (kind := _tiff_values(path)) is None:
                raise
            remedy = "Save it as whole numbers of 8 or 16 bits, or as 32-bit floating-point numbers"
            raise InputError(path, f"is a TIFF of {kind}, which is not read", remedy) from error


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
            bits, kind = int(tags.get(_BITS_PER_SAMPLE, (1,))[0]), tags.get(_SAMPLE_FORMAT, (1,))[0]
    except BROKEN:
        return None
    if bits <= 32 and kind != 3:
        return None
    return f"{bits}-bit {_SAMPLE_KINDS.get(kind, 'values')}"


def _png_pixel(path: Path) -> tuple[int, int] | None:
    """Return the bits of a sample and the samples of a pixel of a PNG; None of other files."""
    with path.open("rb") as file:
        head = file.read(26)
    if head[:4] != b"\x89PNG" or len(head) < 26:
        return None
    return head[24], _PNG_CHANNELS.get(head[25], 4)


def _is_deep_png(path: Path) -> bool:
    """Return whether a file is a PNG of 16 bits with colours or alpha, of which Pillow keeps the upper 8."""
    depth, channels = _png_pixel(path) or (0, 0)
    return depth == 16 and channels > 1


def _deep_png(path: Path) -> np.ndarray:
    with _opened(path):  # an unreadable file, or one of too many pixels, is told as for other pictures
        pass
    try:
        return decode_image(read_file(str(path)), ImageReadMode.UNCHANGED).numpy()[None]
    except RuntimeError as error:
        raise InputError(path, f"{_DAMAGED} ({error})", "Copy it again from its source") from error


def _refuse_short_png(path: Path) -> None:
    """Refuse a PNG that holds fewer pixels than its header claims: Pillow makes the rest black."""
    pixel = _png_pixel(path)
    if pixel is None:
        return
    content = path.read_bytes()
    width, height, *_, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    shapes = [
        (-(-(height - top) // down), -(-(width - left) // across))
        for left, top, across, down in (_PNG_PASSES if interlaced else ((0, 0, 1, 1),))
    ]
    bits = math.prod(pixel)
    claimed = sum(rows * (1 + -(-columns * bits // 8)) for rows, columns in shapes if rows > 0 < columns)
    stream, held = zlib.decompressobj(), 0
    for part in _png_data(content):
        while part and held < claimed:
            held += len(stream.decompress(part, _BAND))
            part = stream.unconsumed_tail
    if held < claimed:
        problem = f"holds {held:,} bytes of pixels where its header claims {claimed:,}"
        raise InputError(path, problem, "Copy it again from its source")


def _png_data(content: bytes) -> Iterator[bytes]:
    """Yield a PNG's compressed pixels, chunk by chunk."""
    place = 8
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"IDAT":
            yield content[place + 8 : place + 8 + size]
        place += 12 + size


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    """Return the values of a TIFF's tag; none of other pictures."""
    value = getattr(image, "tag_v2", {}).get(number, ())
    return value if isinstance(value, tuple) else (value,)


def _stored_type(image: Image.Image) -> np.dtype | None:
    """Return the type of a TIFF's values that Pillow takes for another of as many bits; None of all else."""
    kind = _tag(image, _SAMPLE_FORMAT) or (1,)
    if image.mode == "L" and kind == (2,):
        return np.dtype(np.int8)
    is_unsigned = image.mode == "I" and image.format == "TIFF" and kind == (1,)
    return np.dtype(np.uint32) if is_unsigned and max(_tag(image, _BITS_PER_SAMPLE), default=0) == 32 else None


def _refuse_cut_tiff(path: Path, image: Image.Image) -> None:
    """Refuse a TIFF of which Pillow keeps the upper 8 bits of each sample, or that has 0 as white and stays so."""
    deepest = max(_tag(image, _BITS_PER_SAMPLE), default=0)
    if deepest > 8 and image.mode in _CUT_MODES:
        problem = f"is a TIFF of {deepest}-bit colours, which is not read"
        raise InputError(path, problem, "Save it as PNG, in grey, or with 8 bits a colour")
    if _tag(image, _PHOTOMETRIC) == (0,) and image.mode not in ("1", "L"):
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
