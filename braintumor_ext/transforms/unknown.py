"""What a datalist does not tell, as values that a batch can hold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import deepcopy
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from braintumor_ext.keys import CLASS, IMAGE, LABEL, UNKNOWN


class FillUnknownd(MapTransform):
    """Give an item without a mask or a class the values that stand for "unknown", so that it can be batched.

    An absent (or None) mask becomes a (1, H, W) `MetaTensor` of -1 with the image's metadata; an absent class becomes
    -1. A class that is there becomes an int64 scalar too.
    """

    def __init__(self) -> None:
        super().__init__((LABEL, CLASS, IMAGE), allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with both targets."""
        item = dict(data)
        if item.get(LABEL) is None:
            item[LABEL] = _unknown_mask(item[IMAGE])
        index = item.get(CLASS)
        item[CLASS] = torch.tensor(UNKNOWN if index is None else int(index), dtype=torch.int64)
        return item


def _unknown_mask(image: torch.Tensor) -> torch.Tensor:
    mask = torch.full((1, *image.shape[1:]), float(UNKNOWN), dtype=torch.float32)
    if not isinstance(image, MetaTensor):
        return mask
    # The geometry done to the image so far counts for its mask too: both can then be inverted, and batched with others.
    return MetaTensor(mask, meta=deepcopy(image.meta), applied_operations=deepcopy(image.applied_operations))
