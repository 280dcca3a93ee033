"""A checkpoint in half precision: half the bytes, the same predictions, still a flat state dict for stock tools."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing, replacing
from braintumor_ext.metrics import score_mask
from braintumor_ext.prediction import Prediction

LARGEST_FILE = 80_000_000
"""Bytes that a released checkpoint may have."""

LARGEST_DIFFERENCE, LEAST_DICE = 1e-3, 0.99
"""What half precision may change: a class probability, and the overlap of the masks of both precisions."""


def to_half(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with its weights in float16, on the CPU; vectors and counters stay as they are.

    A network in float32 loads it as it is: ``load_state_dict`` copies values and keeps the network's own types.
    Vectors (batch normalisation's statistics, scales and shifts, and biases) are 1% of the bytes and most of the
    error, as each of their values acts on a whole channel; their smallest variances would become 0 too.

    Args:
        state: a flat state dict.

    Raises:
        ValueError: a value is not finite, or is not any more in float16 (beyond 65,504); its tensor is named.
    """
    half = {}
    for name, value in state.items():
        value = value.detach().cpu()
        if value.is_floating_point():
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} has values that are not finite")
            small = value.half() if value.ndim > 1 else value
            if not torch.isfinite(small).all():
                raise ValueError(f"{name} has the value {value.abs().max():g}, which float16 cannot hold (65,504)")
            value = small
        half[name] = value.contiguous().clone()
    return half


def half_bytes(state: Mapping[str, Tensor], largest: int = LARGEST_FILE) -> bytes:
    """Return the file of a state dict in half precision; the same state gives the same bytes.

    Args:
        state: a flat state dict.
        largest: how many bytes the file may have.

    Raises:
        ValueError: as :func:`to_half`; or the file would be larger.
    """
    stream = io.BytesIO()  # torch.save to a path would write the path's name into the file
    torch.save(to_half(state), stream)
    content = stream.getvalue()
    if len(content) > largest:
        raise ValueError(f"it takes {len(content) / 1e6:.1f} MB in half precision, {largest / 1e6:.0f} MB are allowed")
    return content


def write_half(state: Mapping[str, Tensor], path: str | PathLike[str], largest: int = LARGEST_FILE) -> None:
    """Write a state dict in half precision; an earlier file of other content is renamed.

    Args:
        state: a flat state dict.
        path: ``model.pt``.
        largest: how many bytes the file may have.

    Raises:
        InputError: a value does not fit float16, or the file would be too large.
    """
    path = Path(path)
    try:
        content = half_bytes(state, largest)
    except ValueError as error:
        raise InputError(path, f"cannot be written: {error}", "Release another checkpoint") from error
    if path.is_file() and path.read_bytes() == content:
        return
    with replacing(path) as partial:
        partial.write_bytes(content)
        backup_existing(path)


class Agreement(NamedTuple):
    """How much the predictions of two precisions differ.

    Args:
        slices: how many slices were compared.
        probability: the largest difference of a class probability.
        mask_dice: the least Dice of two masks of one slice; 1 where both are empty everywhere.
        same_class: the share of slices with the same class.
    """

    slices: int
    probability: float
    mask_dice: float
    same_class: float

    @property
    def is_close(self) -> bool:
        """Whether the differences are within the limits."""
        return self.probability <= LARGEST_DIFFERENCE and self.mask_dice >= LEAST_DICE


def agreement(some: Sequence[Prediction], others: Sequence[Prediction]) -> Agreement:
    """Compare the predictions about the same slices.

    Args:
        some: at least one, each of a slice that could be predicted.
        others: as many, in the same order.

    Raises:
        InputError: a slice could not be predicted.
    """
    differences, overlaps, same = [], [], []
    for one, other in zip(some, others, strict=True):
        (shares, mask), (other_shares, other_mask) = _known(one), _known(other)
        differences += [abs(share - other_shares[name]) for name, share in shares.items()]
        overlaps.append(score_mask(mask, other_mask).dice)
        same.append(one.label == other.label)
    defined = [overlap for overlap in overlaps if not np.isnan(overlap)]
    return Agreement(len(same), max(differences), min(defined, default=1.0), float(np.mean(same)))


def _known(prediction: Prediction) -> tuple[dict[str, float], np.ndarray]:
    if prediction.probabilities is None or prediction.mask is None:
        raise InputError(prediction.source, str(prediction.error).rstrip("."), "Leave it out")
    return prediction.probabilities, prediction.mask
