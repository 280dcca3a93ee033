"""The seal of an exported file: the SHA-256 of its content, which its own description holds.

A file cannot hold its own hash. What is hashed is the file with 64 zeros in the seal's place, and the files that belong
to it; of an archive of PyTorch's, all entries but the description and PyTorch's own id, which is made of all of them.
"""

from __future__ import annotations

import hashlib
import mmap
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from braintumor_ext.errors import InputError

BLANK = "0" * 64  # what stands in the seal's place until the file is sealed
_OWN_ID = ".data/serialization_id"
_SEAL = re.compile(rb"content_sha256[^0-9a-f]{1,20}([0-9a-f]{64})")


def seal(path: Path, others: Sequence[Path] = ()) -> None:
    """Write the seal of a file over its blank one."""
    sealed = _sealed(path, others)
    assert sealed is not None
    place, _, sha256 = sealed
    with path.open("rb+") as file:
        file.seek(place)
        file.write(sha256.encode())


def check_seal(path: Path, others: Sequence[Path] = ()) -> None:
    """Raise where a file is not as it was when it was sealed; a file without a seal passes.

    Raises:
        InputError: a byte of it or of the others has changed.
    """
    sealed = _sealed(path, others)
    if sealed is not None and sealed[1] != sealed[2]:
        raise damaged(path, f"SHA-256 {sealed[2][:12]}…, not {sealed[1][:12]}…")


def archive_sha256(path: Path, without: str) -> str:
    """Return the SHA-256 of an archive's entries, names and bytes in the order of the names.

    Left out is the entry whose name ends with ``without``.

    Raises:
        InputError: an entry is not what its own checksum says.
    """
    content = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith((without, _OWN_ID)):
                continue
            content.update(f"{name.partition('/')[2]}\0".encode())  # the folder is called like the file
            try:
                content.update(archive.read(name))
            except zipfile.BadZipFile as error:
                raise damaged(path, str(error)) from error
    return content.hexdigest()


def damaged(path: Path, reason: str) -> InputError:
    """Return the error of a file that has changed."""
    return InputError(path, f"is damaged: it is not as it was exported ({reason})", "Copy or export it again")


def _sealed(path: Path, others: Sequence[Path]) -> tuple[int, str, str] | None:
    """Return where the seal stands, what it is and what it ought to be; None of a file without one."""
    if path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _SEAL.search(content)
        if found is None:
            return None
        place, told = found.start(1), found[1].decode()
        sha256 = hashlib.sha256(memoryview(content)[:place])
        sha256.update(BLANK.encode())
        sha256.update(memoryview(content)[place + len(BLANK) :])
        del found  # it holds on to the map
    for other in others:
        sha256.update(b"\0")
        if other.is_file():
            sha256.update(other.read_bytes())
    return place, told, sha256.hexdigest()
