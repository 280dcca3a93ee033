"""The folder that an inference writes to: one run's own while it lasts, shared by the run's processes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
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
    """The folder, with a lock and a table for each process of a run.

    Args:
        path: the folder.
        rank: the process's number; 0 leads.
    """

    def __init__(self, path: str | PathLike[str], rank: int = 0) -> None:
        self.path, self.rank = Path(path), rank
        self.table = self.path / (PART_TABLE.format(rank) if rank else TABLE)
        """Where this process adds its rows."""
        self._lock = filelock.FileLock(self.path / (f"{LOCK}.{rank}" if rank else LOCK), timeout=LOCK_SECONDS)

    def take(self) -> None:
        """Make the folder this run's own.

        Raises:
            InputError: another run writes to it, or the system cannot.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            if self.rank == 0:
                self._await_others()
        except filelock.Timeout:
            self._lock.release()
            remedy = "Wait until it has ended, or give another --output_dir"
            raise InputError(self.path, "is being written to by another run", remedy) from None
        except NotImplementedError:
            logger.warning("%s cannot be locked: see that no other run writes to it.", self.path)
        except OSError as error:
            self._lock.release()
            raise self.unwritable(error) from error

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

    def unwritable(self, error: OSError) -> InputError:
        """Return what to say where the system cannot write to the folder."""
        return InputError(self.path, f"cannot be written to ({error})", "Free space, or give another --output_dir")
