"""Threads beside the one that predicts, and reading the next batch in one of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import torch
from monai.data import DataLoader


def side_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch computes on one core each.

    Otherwise each of them would start as many threads again as there are cores, which the network computes on.
    """
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=_take_one_core)
    started = Barrier(count + 1)
    for _ in range(count):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(before)  # of this thread, and of those to come
    return pool


def _take_one_core() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # torch settles a thread's number when it is first needed: now, not after the next setting


_END = object()


class ReadAheadLoader(DataLoader):
    """A `monai.data.DataLoader` that without workers reads one batch ahead, in a thread.

    A thread shares the reader's cache of volumes and hands its tensors over as they are, where each worker process
    decodes every volume for itself. `monai.data.ThreadDataLoader` reads ahead as well, but ends as if all were read
    where reading raises; here the error comes out.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches in order."""
        batches = super().__iter__()
        if self.num_workers > 0:
            yield from batches
            return
        with side_threads(1, "reading") as reader:
            coming = reader.submit(next, batches, _END)
            while (batch := coming.result()) is not _END:
                coming = reader.submit(next, batches, _END)
                yield batch
