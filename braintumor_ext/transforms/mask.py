"""Tumour masks of any kind to {0, 1}, the check that they fit their image, and what stands for unknown targets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from braintumor_ext.errors import InputError
from braintumor_ext.keys import CLASS, IMAGE, LABEL, UNKNOWN
from braintumor_ext.transforms.formats import has_suffix
from braintumor_ext.transforms.load import slice_from_memory
from braintumor_ext.transforms.reader import read_slice

_ALPHA_CHANNELS = (2, 4)


class ToBinaryMask(Transform):
    """Turn a mask image of any kind into (1, H, W) float32 of 0 and 1; its metadata stay.

    Every label is tumour: a pixel is 1 where any channel but alpha is at least 0.5 (1 bit, 0 and 1, 0 and 255, label
    values, probabilities). JPEG and WebP blur the edge of a mask of 0 and 255, so there the limit is 128. A mask with
    any negative value is an unknown one and becomes -1 everywhere, also after a rotation has padded it with zeros.
    """

    def __call__(self, img: np.ndarray | torch.Tensor) -> MetaTensor:
        """Return the mask of what `LoadImageSlice` gives, or an array or tensor that it accepts.

        Raises:
            InputError: if values are not finite.
        """
        loaded = slice_from_memory(img)
        name = str(loaded.meta["filename_or_obj"])
        values = loaded.as_subclass(torch.Tensor)
        values = values[:-1] if values.shape[0] in _ALPHA_CHANNELS else values
        if not torch.isfinite(values).all():
            raise InputError(name or "mask in memory", "has NaN or infinite values", "Export the mask again")
        strongest = values.amax(dim=0, keepdim=True)
        blurred = has_suffix(name, (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")) and strongest.max() > 1
        binary = (strongest >= (128 if blurred else 0.5)).float()
        if (values < 0).any():
            binary.fill_(UNKNOWN)
        return MetaTensor(binary, meta=loaded.meta, applied_operations=loaded.applied_operations)


def read_mask(path: str | Path, slice_index: int | None = None, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return the tumour mask of a file, (H, W) bool; nothing is marked in an unknown one.

    Args:
        path: a picture, a DICOM or a NIfTI file; of a palette the indices count, not their colours.
        slice_index: 0-based index of the slice in a volume.
        shape: (H, W) of its image; None to take any.

    Raises:
        InputError: if it cannot be read, has values that are not finite or another shape, or is a volume and no slice
            of it was chosen.
    """
    mask = ToBinaryMask()(read_slice(path, slice_index, labels=True)).numpy()[0] > 0
    if shape is not None and mask.shape != shape:
        problem = f"is {mask.shape[1]}x{mask.shape[0]}, but its image is {shape[1]}x{shape[0]}"
        raise InputError(path, problem, "Give the mask that was drawn on that very image")
    return mask


class ToBinaryMaskd(MapTransform):
    """Dictionary form of `ToBinaryMask`."""

    def __init__(self, keys: KeysCollection = LABEL, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.converter = ToBinaryMask()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its masks in 0 and 1."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.converter(item[key])
        return item


class CheckSameSized(MapTransform):
    """Refuse an item whose mask has another size than its image; the item passes unchanged otherwise.

    Args:
        keys: the image first, then what must have its size; absent ones are passed over.

    Raises:
        InputError: as it is called, naming both files and both sizes.
    """

    def __init__(self, keys: KeysCollection = (IMAGE, LABEL)) -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item."""
        item = dict(data)
        loaded = [(key, item[key]) for key in self.key_iterator(item)]
        for key, other in loaded[1:]:
            first_key, first = loaded[0]
            if first.shape[1:] != other.shape[1:]:
                raise InputError(
                    _name(other, key),
                    f"is {_size(other)} pixels (width x height) where {_name(first, first_key)} is {_size(first)}",
                    "Give a mask drawn on that very image, or leave the mask out",
                )
        return item


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
            image = item[IMAGE]
            mask = torch.full((1, *image.shape[1:]), float(UNKNOWN), dtype=torch.float32)
            if isinstance(image, MetaTensor):
                # The geometry done to the image so far counts for its mask too: both can be inverted, and batched.
                meta, operations = deepcopy(image.meta), deepcopy(image.applied_operations)
                mask = MetaTensor(mask, meta=meta, applied_operations=operations)
            item[LABEL] = mask
        index = item.get(CLASS)
        item[CLASS] = torch.tensor(UNKNOWN if index is None else int(index), dtype=torch.int64)
        return item


def _name(img: np.ndarray | torch.Tensor, key: Hashable) -> str:
    name = str(img.meta.get("filename_or_obj", "")) if isinstance(img, MetaTensor) else ""
    return name or f"{key} in memory"


def _size(img: np.ndarray | torch.Tensor) -> str:
    return f"{img.shape[-1]} x {img.shape[-2]}"
