"""Which files can be read: by suffix when a folder is listed, by content when a file is opened."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from pydicom.errors import BytesLengthException, InvalidDicomError

from braintumor_ext.errors import InputError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".gif", ".webp")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr")
SUPPORTED_SUFFIXES = PICTURE_SUFFIXES + DICOM_SUFFIXES + NIFTI_SUFFIXES
"""Lower case. A DICOM file may also have no suffix at all."""

PICTURE = "picture"
DICOM = "dicom"
NIFTI = "nifti"
ARRAY = "array"
"""The containers that a slice can come from; ``ARRAY`` is one that was handed over in memory."""

_PICTURE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF8", b"RIFF")
# What Pillow, nibabel and pydicom raise on broken files.
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    ArithmeticError,
    MemoryError,
    SyntaxError,
    struct.error,
    zlib.error,
    ImageFileError,
    HeaderDataError,
    InvalidDicomError,
    BytesLengthException,
)
_VALUE_KINDS = (b"UL", b"UI", b"CS", b"DA", b"TM", b"OB", b"SH", b"LO", b"PN")  # of the first elements
_LONGEST_FIRST_VALUE = 64  # bytes, where the kind is not written
_HEAD = 352  # a NIfTI-1 header; longer than DICOM's preamble (132)


def has_suffix(path: str | Path, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file's name ends, in any case, with one of some suffixes: lower case, with the leading dot."""
    return Path(path).name.lower().endswith(suffixes)


def is_supported(path: str | Path) -> bool:
    """Return whether a file is one to read, by its suffix; one without a suffix is looked into for DICOM."""
    path = Path(path)
    if has_suffix(path, SUPPORTED_SUFFIXES):
        return True
    # DICOM names such as 1.2.840.113619 or IM00001 have no suffix that means anything; a DICOMDIR holds no pixels.
    if (path.suffix and not path.suffix[1:].isdigit()) or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(132)
    return head[128:] == b"DICM" or _is_bare_dicom(head)


def without_suffix(name: str) -> str:
    """Return a file's name or path without the suffix of a supported format (``.nii.gz`` is one)."""
    suffix = next((s for s in sorted(SUPPORTED_SUFFIXES, key=len, reverse=True) if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def container_of(path: str | Path) -> str:
    """Return ``picture``, ``dicom`` or ``nifti`` by a file's content; its suffix decides only where that says nothing.

    Raises:
        InputError: if the file is missing, a folder, empty, or of no format that can be read.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "is a folder where one file is expected", "Give the path of a file in it")
    if not path.is_file():
        raise InputError(path, "no such file", "Check the path")
    try:
        head = _head(path)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(path, f"cannot be read ({error})", "Check its permissions or copy it again") from error
    if not head:
        raise InputError(path, "is empty (0 bytes)", "Copy it again from its source, or remove it")
    if head[128:132] == b"DICM" or _is_bare_dicom(head):
        return DICOM
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return NIFTI
    if head.startswith(_PICTURE_MAGIC):
        return PICTURE
    if has_suffix(path, DICOM_SUFFIXES):  # files older than the preamble; the reader tells whether it is one
        return DICOM
    if has_suffix(path, NIFTI_SUFFIXES):  # an Analyze header has no signature
        return NIFTI
    known = ", ".join(SUPPORTED_SUFFIXES)
    if has_suffix(path, PICTURE_SUFFIXES):
        raise InputError(path, f"is no picture (it begins with {head[:8]!r})", "Replace it by the real image file")
    raise InputError(path, f"has an unsupported format (suffix {path.suffix!r})", f"Give one of {known}")


@contextmanager
def telling_damage(path: Path, problem: str) -> Iterator[None]:
    """Raise an `InputError` of a problem, and why, in place of what a library raises on a broken file."""
    try:
        yield
    except InputError:
        raise
    except BROKEN as error:
        reason = str(error) or type(error).__name__
        raise InputError(path, f"{problem} ({reason})", "Copy it again from its source") from error


def _is_bare_dicom(head: bytes) -> bool:
    """Return whether a file begins with a DICOM element of group 2 or 8, as those from before the preamble do."""
    if len(head) < 8 or head[0] not in (2, 8) or head[1] != 0 or head[3] != 0:
        return False
    return head[4:6] in _VALUE_KINDS or int.from_bytes(head[4:8], "little") <= _LONGEST_FIRST_VALUE


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head[:2] == b"\x1f\x8b":
        with gzip.open(path) as stream:
            return stream.read(_HEAD)
    return head
