"""Small files whose headers ask for much."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from tests.transforms.files import gradient, write_dicom


def nifti(path: Path, shape: tuple[int, ...], held: int, image_class: type = nibabel.Nifti1Image) -> Path:
    """Write a NIfTI header of some shape (int16) and a few bytes of data; ``.nii.gz`` is compressed."""
    image = image_class(np.zeros((1, 1, 1), np.int16), np.eye(4))
    image.header["dim"][: len(shape) + 1] = len(shape), *shape
    content = image.header.binaryblock + bytes(4) + bytes(held)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def gzip_bomb(path: Path, mebibytes: int) -> Path:
    """Write a NIfTI file of 1024 x 1024 slices (uint8) that really are there: zeros, a kilobyte for each mebibyte."""
    header = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)).header
    header["dim"][:4] = 3, 1024, 1024, mebibytes
    zeros = gzip.compress(bytes(2**20))
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)) + zeros * mebibytes)
    return path


def jpeg(path: Path, height: int, width: int) -> Path:
    """Write a JPEG of 8 x 8 pixels whose header tells of more."""
    stream = io.BytesIO()
    Image.fromarray(gradient(8, 8)).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    path.write_bytes(content)
    return path


def png(path: Path, height: int, width: int) -> Path:
    """Write a PNG of 8 x 8 pixels whose header tells of more, with the right checksum."""
    stream = io.BytesIO()
    Image.fromarray(gradient(8, 8)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


def gif(path: Path, height: int, width: int, frames: int) -> Path:
    """Write a GIF of frames that change one pixel each."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    path.write_bytes(head + frame * frames + b";")
    return path


def tiff(path: Path, height: int, width: int, frames: int) -> Path:
    """Write a TIFF whose frames all show the same bytes, of which there are not enough."""
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (278, 4, height),
        (279, 4, height * width),
    ]
    size, begin = 2 + 12 * len(entries) + 4, 8 + 64
    content = b"II*\0" + struct.pack("<I", begin) + bytes(64)
    for number in range(frames):
        following = begin + size * (number + 1) if number + 1 < frames else 0
        content += struct.pack("<H", len(entries))
        content += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        content += struct.pack("<I", following)
    path.write_bytes(content)
    return path


def write_all(folder: Path) -> list[Path]:
    """Write one file of each kind."""
    pixels = gradient(8, 8, np.uint16)
    return [
        nifti(folder / "much.nii", (1024, 1024, 2640), 98_000),
        nifti(folder / "slices.nii", (64, 64, 32_767), 1_000),
        nifti(folder / "slices.nii.gz", (64, 64, 32_767), 1_000),
        nifti(folder / "billions.nii", (64, 64, 2_000_000_000), 1_000, nibabel.Nifti2Image),
        gzip_bomb(folder / "bomb.nii.gz", 1_500),
        jpeg(folder / "wide.jpg", 13_000, 13_000),
        jpeg(folder / "widest.jpg", 65_000, 65_000),
        png(folder / "wide.png", 8_000, 8_000),
        png(folder / "widest.png", 200_000, 200_000),
        gif(folder / "frames.gif", 2_000, 2_000, 4_000),
        tiff(folder / "frames.tif", 2_000, 2_000, 4_000),
        write_dicom(folder / "wide.dcm", pixels, Rows=65_535, Columns=65_535),
        write_dicom(folder / "frames.dcm", pixels, NumberOfFrames=2_000_000_000),
    ]
