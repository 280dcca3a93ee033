"""From a batch of the data loader to the network's input and its target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from braintumor_ext.keys import CLASS, IMAGE, LABEL, UNKNOWN


def prepare_slices(
    batch: Mapping[str, Any],
    device: str | torch.device | None = None,
    non_blocking: bool = False,
    **kwargs: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the images and ``{"class", "label"}`` of a batch, on the device: a MONAI engine's ``prepare_batch``.

    Args:
        batch: ``image`` (B, C, H, W); ``label`` (B, 1, H, W) and ``class`` (B,), both optional (then unknown).
        device: where to put the tensors.
        non_blocking: whether copies from pinned memory may be asynchronous.
        kwargs: further arguments of ``Tensor.to``.
    """

    def move(value: Any, **extra: Any) -> Tensor:
        tensor = value.as_tensor() if hasattr(value, "as_tensor") else torch.as_tensor(value)
        return tensor.to(device=device, non_blocking=non_blocking, **extra)

    image = move(batch[IMAGE], memory_format=torch.channels_last, **kwargs)
    count, _, height, width = image.shape
    label = batch.get(LABEL)
    classes = batch.get(CLASS)
    return image, {
        CLASS: image.new_full((count,), UNKNOWN, dtype=torch.long) if classes is None else move(classes).long(),
        LABEL: image.new_full((count, 1, height, width), UNKNOWN) if label is None else move(label),
    }
