"""A copy of a state that a training goes on to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def snapshot(state: Any, earlier: Any = None) -> Any:
    """Return a nested state with its tensors copied to the CPU's memory, in their memory format.

    Args:
        state: tensors and plain values in dictionaries, lists and tuples.
        earlier: a snapshot that nobody needs any more: where its tensors fit they are written over, which spares the
            allocation.
    """
    if isinstance(state, Tensor):
        value = state.detach()
        if _fits(earlier, value):
            return earlier.copy_(value)
        return value.to("cpu", copy=True)
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
