"""The processes that share one inference: who predicts what, how far each has come, and what it has found."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Any

import pydicom
import torch.distributed

from braintumor_ext.errors import InputError
from braintumor_ext.keys import IMAGE, SLICE
from braintumor_ext.transforms.formats import DICOM, container_of

TIMEOUT = 1800.0  # after how many seconds without any word from a process the others give up
ROWS_AT_ONCE = 1000  # how many rows go through the store in one value: it takes no more than 8 MiB
_POLL_SECONDS = 0.1
_REMEDY = "See what it told above, then go on with --resume true"


@dataclass(eq=False, repr=False)
class Processes:
    """What the processes of one inference tell each other, through torch's key-value store.

    Process 0 leads: it deals the slices out, and takes the others' rows in the end. No process waits for another while
    it predicts, and none but process 0 in the end: they need not be equally fast, and a dead one holds nobody up. Hence
    no collective operations, in which all have to take part within one time limit. Where a process is gone, an
    InputError is raised by whatever waits for it, or tells it something.
    """

    store: torch.distributed.Store | None = None  # of this inference alone; None where there is but one process
    rank: int = 0
    size: int = 1
    timeout: float = TIMEOUT  # seconds after which a process that tells nothing (no batch is predicted) counts as gone

    def deal(self, shares: Sequence[Sequence[int]], digest: str) -> None:
        """Tell the others which slices are theirs, numbers of inputs with a digest; for process 0."""
        for rank, share in enumerate(shares):
            self._set(f"share {rank}", {"digest": digest, "share": list(share)})

    def share(self, digest: str) -> list[int]:
        """Wait for this process's slices, and return them.

        Raises:
            InputError: process 0 sees other inputs, or is gone.
        """
        told = self._await("share", self.rank, of=0)
        if told["digest"] != digest:
            problem = f"process {self.rank} sees other files than process 0"
            remedy = "Give a folder that they share and that stays as it is meanwhile"
            raise InputError("--dataset_dir", problem, remedy)
        return told["share"]

    def begin(self) -> None:
        """Tell the others that the output folder is theirs to write to; for process 0."""
        self._set("begun 0", True)

    def await_beginning(self) -> None:
        """Wait until process 0 has made the output folder ready."""
        self._await("begun", 0, of=0)

    def tell_progress(self, slices: int) -> None:
        """Tell process 0 that this one goes on.

        Raises:
            InputError: process 0 is gone, and with it the store; so must this one, lest it writes to a folder that is
                nobody's.
        """
        self._set(f"progress {self.rank}", slices)

    def hand_over(self, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """Give this process's rows to process 0; nothing more comes of it."""
        pairs = list(rows.items())
        chunks = [pairs[start : start + ROWS_AT_ONCE] for start in range(0, len(pairs), ROWS_AT_ONCE)]
        for number, chunk in enumerate(chunks):
            self._set(f"rows {self.rank} {number}", chunk)
        self._set(f"done {self.rank}", len(chunks))

    def take_over(self, rank: int) -> dict[int, dict[str, Any]]:
        """Wait until another process is done, and return its rows; for process 0."""
        rows: dict[int, dict[str, Any]] = {}
        for number in range(self._await("done", rank, of=rank)):
            key = f"rows {rank} {number}"
            rows.update((index, row) for index, row in self._get(key))
            assert self.store is not None
            self.store.delete_key(key)
        return rows

    def break_off(self, error: BaseException) -> None:
        """Tell the others that this process ends here, if they can still be told."""
        try:
            self._set(f"broken {self.rank}", f"{type(error).__name__}: {error}")
        except InputError:
            return

    def _await(self, word: str, number: int, of: int) -> Any:
        """Return what a process tells, once it does; as long as it goes on, there is time."""
        last, seen = time.monotonic(), None
        while not self._has(key := f"{word} {number}"):
            if self._has(f"broken {of}"):
                problem = f"broke off ({self._get(f'broken {of}')}); the rows so far are kept"
                raise InputError(f"process {of}", problem, _REMEDY)
            progress = self._get(f"progress {of}") if self._has(f"progress {of}") else None
            if progress != seen:
                last, seen = time.monotonic(), progress
            if time.monotonic() - last > self.timeout:
                problem = f"has told nothing for {self.timeout:g} seconds; the rows so far are kept"
                raise InputError(f"process {of}", problem, _REMEDY)
            time.sleep(_POLL_SECONDS)
        return self._get(key)

    def _set(self, key: str, value: Any) -> None:
        if self.store is None:
            return
        with _reached():  # it takes bytes, too, whatever its annotation says
            self.store.set(key, zlib.compress(json.dumps(value).encode()))  # type: ignore[arg-type]

    def _has(self, key: str) -> bool:
        assert self.store is not None
        with _reached():
            return self.store.check([key])

    def _get(self, key: str) -> Any:
        assert self.store is not None
        with _reached():
            return json.loads(zlib.decompress(self.store.get(key)))


def torchrun_processes(timeout: float = TIMEOUT) -> Processes:
    """Return the processes that ``torchrun`` has started this one with; ``timeout`` is in seconds.

    Raises:
        InputError: this process was not started by ``torchrun``, or does not find the others.
    """
    needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if missing := [name for name in needed if name not in os.environ]:
        remedy = "Start it by torchrun, or leave this config out for one process"
        raise InputError("multi_gpu_inference.json", f"is for several processes ({missing[0]} is not set)", remedy)
    with _reached():
        store, rank, size = next(torch.distributed.rendezvous("env://", timeout=timedelta(seconds=timeout)))
    # torchrun may keep one store over all starts: what processes before these told must not be heard.
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return Processes(torch.distributed.PrefixStore(f"inference {start}", store), rank, size, timeout)


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [""])[0]
        problem = f"cannot be reached ({reason}); the rows so far are kept"
        raise InputError("process 0", problem, _REMEDY) from error


def share_slices(
    data: Sequence[Mapping[str, Any]], indices: Sequence[int], processes: int, by_series: bool = False
) -> list[list[int]]:
    """Divide slices among processes: each goes to one, and the slices of a file all go to the same.

    A file's slices share its mask file, and its volume is decoded once. Neighbours stay together, and no process has
    more than an even share and one file (or series).

    Args:
        data: the items, as :func:`~braintumor_ext.inference.list_inputs` gives them.
        indices: the slices to divide, as ascending indices into ``data``.
        by_series: whether the files of a DICOM series go to one process, too: they share a segmentation.

    Returns:
        For each process its indices, ascending; none where there are fewer files than processes.
    """
    groups: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for index in indices:
        name = data[index]["name"]
        if name not in names:
            names[name] = (by_series and processes > 1 and _series_of(data[index][IMAGE])) or f"file {name}"
        groups.setdefault(names[name], []).append(index)
    shares: list[list[int]] = [[] for _ in range(processes)]
    before = 0
    for group in groups.values():
        middle = before + len(group) / 2
        shares[min(int(middle * processes / len(indices)), processes - 1)] += group
        before += len(group)
    return [sorted(share) for share in shares]  # series may lie among each other


def digest_of(data: Sequence[Mapping[str, Any]]) -> str:
    """Return a hash of the inputs' names and slices, by which processes can tell that they have the same list."""
    listed = [[item["name"], item.get(SLICE), item["stem"]] for item in data]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _series_of(path: str | PathLike[str]) -> str | None:
    """Return a DICOM file's series; None of other files, and where it is not known."""
    try:
        if container_of(Path(path)) != DICOM:
            return None
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SeriesInstanceUID"])
        return f"series {header.SeriesInstanceUID}"
    except Exception:  # whatever is wrong with it, reading it will tell, in its own row
        return None
