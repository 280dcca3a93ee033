"""Threads beside the one that predicts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch


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
