"""Loading a slice from a path, or taking it from memory, as one channel-first tensor with uniform metadata."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from os import PathLike
from typing import Any, cast

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from braintumor_ext.keys import LABEL, SLICE
from braintumor_ext.transforms.grid import flat_grid
from braintumor_ext.transforms.reader import read_slice

_MAX_CHANNELS = 4


class LoadImageSlice(Transform):
    """Load one slice as a (C, H, W) float32 `MetaTensor` of values as stored, or take one from memory.

    Args:
        labels: whether the files are masks: a picture with a palette then gives its indices, not their colours.
        shrink: whether a file's very large slice is shrunk by whole factors (see `read_slice`).
    """

    def __init__(self, labels: bool = False, shrink: bool = True) -> None:
        self.labels, self.shrink = labels, shrink

    def __call__(
        self, data: str | PathLike[str] | np.ndarray | torch.Tensor, slice_index: int | None = None
    ) -> MetaTensor:
        """Return the slice of a path, by `read_slice`, or of an array or tensor, by `slice_from_memory`."""
        if isinstance(data, str | PathLike):
            return read_slice(data, slice_index, labels=self.labels, shrink=self.shrink)
        return slice_from_memory(data)


class LoadImageSliced(MapTransform):
    """Dictionary form of `LoadImageSlice`: ``slice`` tells the 0-based index in a volume, ``label`` is a mask.

    Args:
        keys: the items to load, e.g. ``("image", "label")``.
        allow_missing_keys: whether an item may lack one of the keys.
        shrink: as in `LoadImageSlice`; an image and its mask, being of one size, are shrunk alike.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False, shrink: bool = True) -> None:
        super().__init__(keys, allow_missing_keys)
        self.loaders = {is_label: LoadImageSlice(is_label, shrink) for is_label in (False, True)}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with the slices in the place of their paths."""
        item = dict(data)
        index = item.get(SLICE)
        for key in self.key_iterator(item):
            item[key] = self.loaders[key == LABEL](item[key], None if index is None else int(index))
        return item


def slice_from_memory(data: np.ndarray | torch.Tensor) -> MetaTensor:
    """Return an array as a (C, H, W) float32 `MetaTensor`; one that has a slice's metadata already keeps it.

    Args:
        data: (H, W), (C, H, W) or (H, W, C) with C up to 4; channels first wins where both would do.

    Raises:
        ValueError: if it has another shape.
    """
    tensor = torch.as_tensor(np.ascontiguousarray(data)) if isinstance(data, np.ndarray) else data
    if tensor.ndim == 2:
        tensor = tensor[None]
    elif tensor.ndim == 3 and tensor.shape[0] > _MAX_CHANNELS >= tensor.shape[-1]:
        tensor = tensor.movedim(-1, 0)
    if tensor.ndim != 3 or tensor.shape[0] > _MAX_CHANNELS:
        raise ValueError(
            f"an array of shape {tuple(data.shape)} is no slice: give (H, W), (C, H, W) or (H, W, C) with C up to 4"
        )
    if isinstance(tensor, MetaTensor) and "bits" in tensor.meta:
        return cast(MetaTensor, tensor.float())
    height, width = tensor.shape[1:]
    grid = flat_grid(height, width, bits=_bits(tensor.dtype), in_memory=True)
    meta = grid.metadata("", 0)
    # A copy, so that no later step writes into the caller's array.
    values = tensor.as_subclass(torch.Tensor).to(torch.float32, copy=True).contiguous()
    return MetaTensor.ensure_torch_and_prune_meta(values, meta)


def _bits(dtype: torch.dtype) -> int:
    if dtype == torch.bool:
        return 1
    return 8 if dtype == torch.uint8 else max(16, dtype.itemsize * 8)
