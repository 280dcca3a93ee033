"""A training's state in a file: tensors and plain values, by ``torch.save``."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

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
    with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums that it writes
        if broken := archive.testzip():
            raise ValueError(f"its part {broken} is damaged")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError):  # torch's own words would advise to load it unsafely
        raise ValueError("it holds more than tensors and plain values") from None
    if not isinstance(state, dict) or not state.keys() >= _PARTS:
        raise ValueError("it lacks what a training is resumed from")
    return state
