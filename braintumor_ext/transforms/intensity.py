"""From values as a file stores them to grey in [0, 1]."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, ScaleIntensity, ScaleIntensityRange, Transform
from monai.transforms.utils_pytorch_numpy_unification import percentile

from braintumor_ext.errors import InputError
from braintumor_ext.transforms.formats import ARRAY
from braintumor_ext.transforms.load import slice_from_memory
from braintumor_ext.transforms.reader import read_slice

# ITU-R BT.601 luma in the 16-bit fixed point of Pillow's convert("L"), so that 8 bit comes out the same to the bit.
_LUMA = torch.tensor([19595.0, 38470.0, 7471.0])
_LUMA_ONE = 65536.0
_LEAST_BACKGROUND = 0.01  # of a slice


class ToUnitGrey(Transform):
    """Turn a slice of any kind into (1, H, W) float32 in [0, 1]; its metadata stay.

    Colours become ITU-R BT.601 luma as in Pillow's mode L, alpha is dropped. 1-bit and 8-bit values are ready for
    display whatever their container and are divided by 1 and 255; others (16 bit, float, DICOM, NIfTI) are scaled by
    robust percentiles of the slice and clipped. A constant background far from all else, as scanners and exports pad
    with, becomes black and counts as the darkest of the rest. Arrays in memory that lie in [0, 1] already stay as they
    are.

    Args:
        lower: percentile that becomes 0.
        upper: percentile that becomes 1.
        allow_constant: whether an image of one value passes (as 8 bit stores it, otherwise as 0) or is an error.
    """

    def __init__(self, lower: float = 0.5, upper: float = 99.5, allow_constant: bool = False) -> None:
        self.lower, self.upper, self.allow_constant = lower, upper, allow_constant

    def __call__(self, img: np.ndarray | torch.Tensor) -> MetaTensor:
        """Return what `LoadImageSlice` gives, or an array or tensor that it accepts, in grey.

        Raises:
            InputError: if values are not finite, or all the same.
        """
        loaded = slice_from_memory(img)
        name = loaded.meta["filename_or_obj"] or "array in memory"
        values = grey_channel(loaded.as_subclass(torch.Tensor), int(loaded.meta["bits"]))
        bad = (~torch.isfinite(values)).float().mean().item()
        if bad > 0:
            raise InputError(name, f"{bad:.2%} of its pixels are NaN or infinite", "Repair or leave out the image")
        grey = self._scaled(values, name, int(loaded.meta["bits"]), str(loaded.meta["container"]))
        return MetaTensor(grey, meta=loaded.meta, applied_operations=loaded.applied_operations)

    def _scaled(self, values: torch.Tensor, name: str, bits: int, container: str) -> torch.Tensor:
        low, high = values.min().item(), values.max().item()
        if low == high and not self.allow_constant:
            raise InputError(name, f"constant image (every pixel is {low:g})", "Leave it out, or export it again")
        if bits in (1, 8):
            return values / (255 if bits == 8 else 1)
        if container == ARRAY and low >= 0 and high <= 1:
            return values.clone()
        if low == high:
            return torch.zeros_like(values)
        values = without_far_background(values)
        low, high = values.min().item(), values.max().item()
        bounds: Any = percentile(values, (self.lower, self.upper))  # one sort for both, which is most of the time
        if bounds[0] == bounds[1]:  # nearly all of the slice has one value: what stands out would be divided by zero
            return torch.as_tensor(ScaleIntensity(0.0, 1.0)(values))
        return torch.as_tensor(ScaleIntensityRange(bounds[0], bounds[1], b_min=0.0, b_max=1.0, clip=True)(values))


def without_far_background(values: torch.Tensor) -> torch.Tensor:
    """Return a slice, (1, H, W), whose far background, if it has one, is as dark as the darkest of the rest.

    That is the lowest or the highest value if it fills a corner and at least 1% of the slice, and lies farther from the
    next value than the whole range of the rest is wide: -32,768 around a picture of 0 to 3,000, or -2,000 around one of
    0 to 1,500, but not the 0 around a head of 300 to 1,500.
    """
    for end in (values.min(), values.max()):
        background = values == end
        rest = values[~background]
        corners = background[..., [0, 0, -1, -1], [0, -1, 0, -1]]
        if rest.numel() == 0 or not corners.any() or background.float().mean() < _LEAST_BACKGROUND:
            continue
        darkest, brightest = rest.min(), rest.max()
        gap = darkest - end if end < darkest else end - brightest
        if darkest < brightest and gap > brightest - darkest:
            return torch.where(background, darkest, values)
    return values


class ToUnitGreyd(MapTransform):
    """Dictionary form of `ToUnitGrey`, whose arguments it takes."""

    def __init__(
        self,
        keys: KeysCollection,
        lower: float = 0.5,
        upper: float = 99.5,
        allow_constant: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.converter = ToUnitGrey(lower, upper, allow_constant)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its slices in grey."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.converter(item[key])
        return item


def grey_channel(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the luma of a slice, (1, H, W), in the range of its values; that of 8 ``bits`` is rounded as by Pillow.

    ``values`` are (C, H, W): grey, grey and alpha, RGB or RGBA for C = 1 to 4; alpha is dropped.
    """
    if values.shape[0] < 3:
        return values[:1]
    luma = (values[:3] * _LUMA.to(values.device)[:, None, None]).sum(dim=0, keepdim=True)
    return torch.floor((luma + _LUMA_ONE / 2) / _LUMA_ONE) if bits == 8 else luma / _LUMA_ONE


def read_grey(path: str | Path, slice_index: int | None = None, allow_constant: bool = False) -> np.ndarray:
    """Return one slice of a file in grey, (H, W) float32 in [0, 1]; a very large one shrunk (see `read_slice`).

    Raises:
        InputError: if the file cannot be read, is a volume and no valid slice of it was chosen, holds values that are
            not finite, or, unless that is allowed, one value only.
    """
    grey = ToUnitGrey(allow_constant=allow_constant)(read_slice(path, slice_index, shrink=True))
    return grey.numpy()[0]
