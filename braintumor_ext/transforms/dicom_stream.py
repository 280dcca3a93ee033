"""Compressed pixels of a DICOM file (DICOM PS3.5, A.4): their fragments, and what these tell of their size.

What is refused is an `InputError`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braintumor_ext.errors import InputError

_ITEM = b"\xfe\xff\x00\xe0"
_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"  # what they begin with
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # markers among those of JPEG frames, C0 to CF, that are none; F7 is JPEG-LS's


def fragments_of(data: bytes) -> list[bytes]:
    """Return the fragments of encapsulated pixels, without the first item, which is a table of offsets."""
    parts, place = [], 0
    while data[place : place + 4] == _ITEM:
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8], "little")
        if end > len(data):
            break  # cut, or it claims more than there is
        parts.append(data[place + 8 : end])
        place = end
    if data[place:].strip(b"\0"):
        return []  # what follows is no item, and GDCM would take its bytes for a length
    return parts[1:]


def begins_frame(fragment: bytes) -> bool:
    """Return whether a JPEG or JPEG 2000 stream begins in a fragment; a frame may be in several."""
    return fragment.startswith((_JPEG, _JPEG_2000))


def check_stream(path: Path, fragment: bytes, rows: int, columns: int, samples: int) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 stream of another size than the file's header: its rows would be mixed up."""
    found = _size_of_jpeg_2000(fragment) if fragment.startswith(_JPEG_2000) else _size_of_jpeg(fragment)
    if found is None or found == (rows, columns, samples):
        return
    shown = "{} x {} pixels of {} sample(s)".format
    problem = f"holds {shown(*found)} where its header tells of {shown(rows, columns, samples)}"
    raise InputError(path, problem, "Export it again from its source")


def _size_of_jpeg(stream: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and samples by the frame's header (ITU-T T.81, B.2.2); None if it tells none."""
    place = 2
    while stream.startswith(_JPEG) and stream[place : place + 1] == b"\xff" and place + 10 <= len(stream):
        marker = stream[place + 1]
        if marker == 0xFF:  # a filling byte
            place += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME):
            height, width = (int.from_bytes(stream[place + k : place + k + 2]) for k in (5, 7))
            return (height, width, stream[place + 9]) if height else None
        place += 2 + int.from_bytes(stream[place + 2 : place + 4])
    return None


def _size_of_jpeg_2000(stream: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and samples by the SIZ marker (ITU-T T.800, A.5.1); None if it is cut."""
    if len(stream) < 42:
        return None
    right, bottom, left, top = (int.from_bytes(stream[place : place + 4]) for place in (8, 12, 16, 20))
    return bottom - top, right - left, int.from_bytes(stream[40:42])


def check_run_lengths(path: Path, fragment: bytes, pixels: int) -> None:
    """Refuse run-length segments (DICOM PS3.5, G) out of their order or their fragment, or of more pixels than told.

    GDCM takes memory by their distances, and drops what is too much, which mixes up the rows.
    """
    words = np.frombuffer(fragment[:64], dtype="<u4").astype(np.int64)
    offsets = [64, *words[1 : 1 + int(words[0])], len(fragment)] if len(words) == 16 and words[0] < 16 else [1, 0]
    if (np.diff(offsets) < 0).any():
        raise InputError(path, "has run-length segments that are not in their fragment", "Copy it again")
    segment = fragment[offsets[1] : offsets[2]]
    held, place = 0, 0
    while place < len(segment) and held <= pixels:
        control = segment[place]
        if control < 128:  # so many and one more as they are
            held += min(control + 1, len(segment) - place - 1)
            place += control + 2
        elif control > 128:
            held += 257 - control
            place += 2
        else:
            place += 1
    if held > pixels:
        problem = f"holds run lengths of more than the {pixels:,} pixels of a frame that its header tells of"
        raise InputError(path, problem, "Export it again from its source")
