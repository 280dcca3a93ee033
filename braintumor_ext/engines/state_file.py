"""The state of a training: copied while it goes on, and written to a file beside it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braintumor_ext.networks.checkpoint import damaged_part

_PARTS = {"network", "optimizer", "lr_scheduler", "epoch", "best"}


def write_state(state: Any, path: Path) -> None:
    """Write ``state`` by ``torch.save``; equal states give equal bytes, whatever the file's name."""
    with path.open("wb") as file:
        torch.save(state, file)


def read_state(path: Path) -> Any:
    """Read the state of a training, on the CPU.

    Raises:
        BadZipFile: when ``torch.save`` did not write it, or not to its end.
        ValueError: when a byte of it was changed, or it holds anything but tensors and plain values, or no training's.
    """
    if broken := damaged_part(path):
        raise ValueError(f"its part {broken} is damaged")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError):  # torch's own words would advise to load it unsafely
        raise ValueError("it holds more than tensors and plain values") from None
    if not isinstance(state, dict) or not state.keys() >= _PARTS:
        raise ValueError("it lacks what a training is resumed from")
    return state


def snapshot(state: Any, earlier: Any = None) -> Any:
    """Return a nested state with its tensors copied to the CPU's memory, in their memory format.

    Args:
        state: tensors and plain values in dictionaries, lists and tuples.
        earlier: a snapshot that nobody needs any more: where its tensors fit they are written over, which spares the
            allocation.
    """
    if isinstance(state, Tensor):
        value = state.detach()
        return earlier.copy_(value) if _fits(earlier, value) else value.to("cpu", copy=True)
    if isinstance(state, Mapping):
        known = earlier if isinstance(earlier, Mapping) else {}
        return {key: snapshot(value, known.get(key)) for key, value in state.items()}
    if isinstance(state, list | tuple):
        older = earlier if isinstance(earlier, list | tuple) and len(earlier) == len(state) else [None] * len(state)
        return type(state)(snapshot(value, old) for value, old in zip(state, older, strict=True))
    return state


def _fits(earlier: Any, value: Tensor) -> bool:
    return (
        isinstance(earlier, Tensor)
        and earlier.layout == torch.strided == value.layout
        and (earlier.shape, earlier.stride(), earlier.dtype) == (value.shape, value.stride(), value.dtype)
    )


class BackgroundWriter:
    """Run jobs in one thread, each to its end before the next is taken; the interpreter waits for the last one.

    A job's error is raised once, by the next call.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._running: Future[None] | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Start a job as soon as the one before has ended; raise that one's error instead, if it had one."""
        self.wait()
        self._running = self._executor.submit(job)

    def wait(self) -> None:
        """Wait until nothing is being written; raise the last job's error, if it had one that was not yet told."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
