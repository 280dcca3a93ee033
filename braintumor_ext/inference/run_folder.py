"""The folder that an inference writes to: one run's own while it lasts, shared by the run's processes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import filelock

from braintumor_ext.errors import InputError

logger = logging.getLogger(__name__)

TABLE = "predictions.csv"
PART_TABLE = "predictions.part{}.csv"
"""The rows of each process but the first, until the table holds them: by its number."""

LOCK = ".lock"
LOCK_SECONDS = 6.0
"""How long to wait for another run to end: workers of one that was killed hold its lock for up to five seconds."""


class RunFolder:
    """The folder, with a lock and a table for each process of a run; the process of rank 0 leads."""

    def __init__(self, path: str | PathLike[str], rank: int = 0) -> None:
        self.path, self.rank = Path(path), rank
        self.table = self.path / (PART_TABLE.format(rank) if rank else TABLE)  # where this process adds its rows
        self._lock = filelock.FileLock(self.path / (f"{LOCK}.{rank}" if rank else LOCK), timeout=LOCK_SECONDS)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Make the folder this run's own for the block and, unless that fails, until :meth:`release`.

        Raises:
            InputError: another run writes to it, or the system cannot.
        """
        try:
            self._take()
            yield
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                problem = f"cannot be written to ({error})"
                raise InputError(self.path, problem, "Free space, or give another --output_dir") from error
            raise

    def _take(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            if self.rank == 0:
                self._await_others()
        except filelock.Timeout:
            remedy = "Wait until it has ended, or give another --output_dir"
            raise InputError(self.path, "is being written to by another run", remedy) from None
        except NotImplementedError:
            logger.warning("%s cannot be locked: see that no other run writes to it.", self.path)

    def _await_others(self) -> None:
        """See that no process is left of a run whose process 0 was killed."""
        for path in self.path.glob(f"{LOCK}.*"):
            with filelock.FileLock(path, timeout=LOCK_SECONDS):
                pass
            path.unlink(missing_ok=True)

    def parts(self) -> Iterator[Path]:
        """Yield the tables that the other processes of a run have left."""
        pattern = re.compile(re.escape(PART_TABLE).replace(r"\{\}", r"\d+"))
        if self.path.is_dir():
            yield from sorted(path for path in self.path.iterdir() if pattern.fullmatch(path.name))

    def clear_parts(self) -> None:
        """Remove the other processes' tables and locks once the table holds their rows."""
        for path in (*self.parts(), *self.path.glob(f"{LOCK}.*")):
            path.unlink(missing_ok=True)

    def release(self) -> None:
        """Leave the folder to other runs."""
        self._lock.release()
