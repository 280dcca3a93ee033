"""A watch on operations that read values back, and so wait for the device to compute them."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

READING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "bincount", "_unique2", "item")


class Watch(TorchDispatchMode):
    """Collect the names of operations whose result, or its shape, Python needs before it can go on."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note whether it waits."""
        name = func.overloadpacket.__name__
        picks = name in ("index", "index_put", "index_put_", "_index_put_impl_")
        indices = [index for index in args[1] if index is not None] if picks else []
        if name in READING or any(index.dtype == torch.bool for index in indices):
            self.waits.append(str(func))
        return func(*args, **(kwargs or {}))
