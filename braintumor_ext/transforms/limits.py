"""How much a file may ask for, and that it holds what its header claims: looked at before memory is taken.

What is refused is an `InputError`, which names what is too much and the variable that allows more.
"""

from __future__ import annotations

import os
from pathlib import Path

from braintumor_ext.errors import InputError


def limit(name: str, default: int) -> int:
    """Return a limit: the environment's ``BRAINTUMOR_<name>``, a whole number above 0, or else the default."""
    text = os.environ.get(f"BRAINTUMOR_{name}", "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) == 0:
        raise InputError(f"BRAINTUMOR_{name}", f"{text!r} is no whole number above 0", f"Give e.g. {default}, or none")
    return int(text)


MOST_PIXELS = limit("MOST_PIXELS", 89_478_485)
"""Pixels of one slice; Pillow's own limit for pictures that it takes without a warning (8,192 x 8,192 is below)."""

MOST_SLICES = limit("MOST_SLICES", 2**14)
"""Slices, or frames, of one file: each is a row of a table."""

MOST_BYTES = limit("MOST_BYTES", 2**30)
"""Bytes that all slices of one file take once they are decoded."""

DEFLATE = 1032
"""Deflate (gzip, PNG) makes of one byte at most as many (zlib's technical details)."""

JPEG = 512
"""A byte of a JPEG tells of at most as many pixels: a block of 8 x 8 takes one bit at least."""


def check_size(path: str | Path, height: int, width: int, slices: int, pixel_bytes: float) -> None:
    """Refuse a file that asks for more than the limits, by its header alone; a decoded pixel takes ``pixel_bytes``."""
    total = int(height * width * slices * pixel_bytes)
    shown = f"{slices:,} slice(s) of {height:,} x {width:,} pixels"
    for name, asked, most, unit in (
        ("MOST_PIXELS", height * width, MOST_PIXELS, "pixels a slice"),
        ("MOST_SLICES", slices, MOST_SLICES, "slices"),
        ("MOST_BYTES", total, MOST_BYTES, "bytes"),
    ):
        if asked > most:
            problem = f"asks for {shown}: {asked:,} {unit}, where {most:,} are the most that is read"
            raise InputError(path, problem, more_by(name))


def more_by(name: str) -> str:
    """Return the remedy of what is too large for a limit."""
    return f"Scale it down or divide it, or set the environment's BRAINTUMOR_{name} to allow more"


def check_held(path: str | Path, needed: int, held: int, most: int = 1) -> None:
    """Refuse a file of ``held`` bytes, each of which tells of ``most`` bytes (of JPEG: pixels), if more are needed."""
    if needed > held * most:
        what = "pixels" if most == JPEG else "bytes of pixels"
        problem = f"holds at most {held * most:,} {what} where its header needs {needed:,}"
        raise InputError(path, problem, "Copy it again from its source")
