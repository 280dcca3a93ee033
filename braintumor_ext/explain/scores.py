"""What a map explains, one number for each image, and how it is scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from braintumor_ext.keys import CLASS, MASK

HEADS = (CLASS, MASK)  # the outputs that can be explained


def class_score(output: Mapping[str, Tensor] | Tensor, classes: Any = None) -> Tensor:
    """Return each image's logit of its class, (B,): the predicted one, one for all, or one for each."""
    logits = head_of(output, CLASS)
    return logits.gather(1, class_indices(logits, classes)[:, None])[:, 0]


def mask_score(output: Mapping[str, Tensor] | Tensor, classes: Any = None) -> Tensor:
    """Return each image's mean mask logit inside its predicted mask, (B,).

    It is 0, without a gradient, where no pixel is predicted.
    """
    logits = head_of(output, MASK)
    return mean_inside(logits, logits.detach() > 0)


def mean_inside(logits: Tensor, region: Tensor) -> Tensor:
    """Return the mean of each image's logits (B, 1, H, W) inside a region, (B,); 0 where the region is empty."""
    return (logits * region).flatten(1).sum(1) / region.flatten(1).sum(1).clamp_min(1)


def head_of(output: Mapping[str, Tensor] | Tensor, head: str) -> Tensor:
    """Return one head's logits of a network's output.

    Args:
        output: a dictionary with ``class`` (B, K) and ``mask`` (B, 1, H, W), or one of these tensors.

    Raises:
        ValueError: the network has no such head; what it gives is named.
    """
    outputs = named(output)
    if head not in outputs:
        given, wanted = ", ".join(map(repr, outputs)), "a classification" if head == CLASS else "a segmentation"
        problem = f"the network has no {head!r} output to explain, only {given}"
        raise ValueError(f"{problem}: explain that one, or give a network with {wanted} head.")
    return outputs[head]


def named(output: Mapping[str, Tensor] | Tensor) -> Mapping[str, Tensor]:
    """Return a network's output by the names of its heads; a tensor of four dimensions is a mask's."""
    return output if isinstance(output, Mapping) else {MASK if output.ndim == 4 else CLASS: output}


def class_indices(logits: Tensor, classes: Any = None) -> Tensor:
    """Return each image's class as (B,) indices on the device of logits (B, K).

    Args:
        classes: an index for all images, B indices, or None for the predicted classes.

    Raises:
        ValueError: their number is neither 1 nor B, or one is not in 0..K-1.
    """
    count, num_classes = logits.shape
    if classes is None:
        return logits.detach().argmax(1)
    indices = torch.as_tensor(classes, device=logits.device)
    if indices.is_floating_point() or indices.dtype == torch.bool or indices.numel() not in (1, count):
        raise ValueError(f"one class index, or one for each of the {count} images, is needed, got {classes!r}.")
    if int(indices.min()) < 0 or int(indices.max()) >= num_classes:
        raise ValueError(f"valid class indices are 0 to {num_classes - 1}, got {classes!r}.")
    return indices.long().reshape(-1).expand(count)


_FLAT = 1e-6  # differences below this share of the largest value are rounding, not a map


def to_unit_range(maps: Tensor) -> Tensor:
    """Scale each map, (B, 1, H, W), so that its least value is 0 and its largest 1; one that is constant becomes 0.

    monai 1.6.1's ``default_normalizer`` turns maps upside down: its largest value becomes 0.
    """
    values = torch.nan_to_num(maps.float())
    low, high = values.amin(dim=(1, 2, 3), keepdim=True), values.amax(dim=(1, 2, 3), keepdim=True)
    spread = high - low
    flat = spread <= _FLAT * torch.maximum(low.abs(), high.abs())
    return torch.where(flat, 0.0, (values - low) / torch.where(flat, 1.0, spread)).clamp(0, 1)
