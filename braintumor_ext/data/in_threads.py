"""Reading many files at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], title: str, leave: bool = True
) -> list[Result]:
    """Return a function's results in the order of the items, with a progress bar; four threads at most."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(tqdm(pool.map(function, items), title, len(items), unit="file", leave=leave))
