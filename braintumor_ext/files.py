"""Files that are never half written and never lost."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from braintumor_ext.plain_text import csv_row

logger = logging.getLogger(__name__)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and put it in place when all went well.

    A kill or an error leaves the old file as it was, and so does a loss of power: what was written is flushed to the
    disk before it takes the old file's place.

    Raises:
        OSError: the system cannot write it; ``filename`` is then ``path``, which the system itself seldom tells.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(partial)):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8, whole or not at all; a byte of a file's name that is no text becomes an escape."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | os.PathLike[str], content: Any, indent: int = 2) -> None:
    """Write plain values as JSON, whole or not at all.

    Raises:
        ValueError: a number is not finite.
    """
    write_text(path, json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: str | os.PathLike[str], rows: Iterable[Iterable[Any]], line_end: str = "\n") -> None:
    """Write a table, whole or not at all; no cell is a formula (see :func:`~braintumor_ext.plain_text.csv_cell`)."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=line_end).writerows(map(csv_row, rows))


def remove_partials(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes left of the files that they were writing into a folder, which nobody else uses."""
    for partial in Path(folder).glob(".*.partial"):
        partial.unlink(missing_ok=True)


def state_of(path: Any) -> tuple[int, int] | None:
    """Return a file's size in bytes and its time of change in ns, which tell a change; None of what is no file."""
    try:
        status = Path(path).stat()
    except (OSError, TypeError):
        return None
    return status.st_size, status.st_mtime_ns


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def backup_existing(path: str | os.PathLike[str], until_replaced: bool = False) -> Path | None:
    """Rename a file that is about to be replaced by its time of writing; return its new path, None if there is none.

    Args:
        until_replaced: leave it under its old name too, until another takes that, so that a kill in between takes
            nothing away. Needs hard links; where there are none it is renamed at once.
    """
    path = Path(path)
    if not path.exists():
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(path.stat().st_mtime))
    target, count = path.with_name(f"{path.stem}.{stamp}{path.suffix}"), 1
    while target.exists():
        target, count = path.with_name(f"{path.stem}.{stamp}-{count}{path.suffix}"), count + 1
    if not (until_replaced and _linked(path, target)):
        path.rename(target)
    logger.warning("%s exists already: it is kept as %s.", path, target.name)
    return target


def _linked(path: Path, target: Path) -> bool:
    try:
        os.link(path, target)
    except OSError:
        return False
    return True
