"""Small files of each format, and changes of their bytes by number."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from PIL import Image

from tests.transforms.files import gradient, write_dicom

_EXTREMES = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 4, b"\x80\0\0\0", b"\0\0\0\x80")


def originals(folder: Path) -> list[Path]:
    """Write the files, if they are not there, and return their paths."""
    if folder.is_dir():
        return sorted(folder.iterdir())
    folder.mkdir(parents=True)
    grey = Image.fromarray(gradient())
    for suffix in ("png", "jpg", "bmp", "webp", "tif"):
        grey.convert("RGB" if suffix != "png" else "L").save(folder / f"a.{suffix}")
    Image.fromarray(gradient(dtype=np.uint16) * 300).save(folder / "deep.png")
    frames = [Image.fromarray(np.roll(gradient(), shift, axis=0)) for shift in range(4)]
    for name in ("frames.gif", "frames.tif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    write_dicom(folder / "a.dcm", gradient(dtype=np.int16))
    write_dicom(folder / "frames.dcm", np.stack([gradient(dtype=np.uint16)] * 3))
    packed = pydicom.dcmread(folder / "a.dcm")
    packed.compress(pydicom.uid.RLELossless)
    packed.save_as(folder / "rle.dcm")
    volume = np.stack([gradient(dtype=np.int16)] * 5, axis=2)
    nibabel.Nifti1Image(volume, np.diag([1, 1, 4, 1])).to_filename(folder / "a.nii")
    nibabel.Nifti1Image(volume, np.diag([1, 1, 4, 1])).to_filename(folder / "b.nii.gz")
    return sorted(folder.iterdir())


def mutated(files: list[Path], number: int, folder: Path) -> Path:
    """Write the mutated file of a number, always the same for it, and return its path."""
    rng = random.Random(number)
    source = files[number % len(files)]
    content = bytearray(source.read_bytes())
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        # headers, which decide most, are as likely as all the rest
        place = rng.randrange(min(len(content), 400) if rng.random() < 0.5 else len(content))
        kind = rng.randrange(5)
        if kind == 0:
            content[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[place] = rng.randrange(256)
        elif kind == 2:
            content[place : place + 4] = rng.choice(_EXTREMES)
        elif kind == 3:
            content[place:place] = content[place : place + rng.randrange(1, 40)]
        else:
            del content[place : place + rng.randrange(1, 40)]
        if not content:
            content = bytearray(b"\0")
    if source.suffix == ".png" and len(content) > 33:  # else its checksum tells of every change
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path = folder / f"{number}{''.join(source.suffixes)}"
    path.write_bytes(content)
    return path
