"""From a batch of the data loader to the network's input and its target, of a size that may depend on the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.nn.functional import interpolate

from braintumor_ext.data.slice_cache import UNKNOWN_BYTE
from braintumor_ext.keys import CLASS, IMAGE, LABEL, UNKNOWN
from braintumor_ext.networks import MINIMUM_SIZE
from braintumor_ext.transforms import BatchAugment


class ProgressiveSize:
    """Which size :class:`~braintumor_ext.engines.PrepareBatch` shrinks a training's batches to, stage by stage less.

    A convolution's cost goes with the area: half the size is a quarter of the time. What is learnt at a small size
    carries over, since the network is fully convolutional up to its pooling (Howard et al. 2018,
    https://www.fast.ai/posts/2018-08-10-fastai-diu-imagenet.html; Touvron et al. 2019, https://arxiv.org/abs/1906.06423).
    Validation always sees the full size.

    Args:
        max_epochs: the training's length.
        stages: (end, size) pairs in rising order: until that share of the epochs, batches have that size, in pixels or,
            up to 1, as a share of their own; rounded to a multiple of 32, never above their own. The last epoch always
            has the full size.

    Raises:
        ValueError: when the stages are not in rising order, an end is not in (0, 1] or a size not positive.
    """

    def __init__(self, max_epochs: int, stages: Sequence[Sequence[float]] = ((0.6, 0.5), (0.85, 0.75))) -> None:
        ends = [end for end, _ in stages]
        if ends != sorted(set(ends)) or not all(0 < end <= 1 and size > 0 for end, size in stages):
            wanted = "(end, size) pairs with rising ends in (0, 1] and positive sizes"
            raise ValueError(f"stages must be {wanted}, got {list(stages)}.")
        self.max_epochs, self.stages = max_epochs, [tuple(stage) for stage in stages]
        self.epoch = max_epochs

    def attach(self, engine: Engine) -> None:
        """Follow the trainer's epochs; until then, batches keep their size."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._follow)

    def _follow(self, engine: Engine) -> None:
        self.epoch = engine.state.epoch

    def size(self, full: int) -> int:
        """Return the size in pixels that this epoch's batches of ``full`` pixels are shrunk to."""
        for end, size in self.stages:
            if self.epoch <= min(round(end * self.max_epochs), self.max_epochs - 1):
                pixels = full * size if size <= 1 else size
                return min(max(round(pixels / MINIMUM_SIZE), 1) * MINIMUM_SIZE, full)
        return full


def prepare_slices(
    batch: Mapping[str, Any], device: str | torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the images and ``{"class", "label"}`` of a batch, on the device: a MONAI engine's ``prepare_batch``.

    Args:
        batch: ``image`` (B, C, H, W); ``label`` (B, 1, H, W) and ``class`` (B,), both optional (then unknown).
        kwargs: further arguments of ``Tensor.to``, which ``device`` and ``non_blocking`` are too.
    """

    def move(value: Any, **extra: Any) -> Tensor:
        tensor = value.as_tensor() if hasattr(value, "as_tensor") else torch.as_tensor(value)
        return tensor.to(device=device, non_blocking=non_blocking, **extra)

    image = move(batch[IMAGE], memory_format=torch.channels_last, **kwargs)
    count, _, height, width = image.shape
    label, classes = batch.get(LABEL), batch.get(CLASS)
    return image, {
        CLASS: image.new_full((count,), UNKNOWN, dtype=torch.long) if classes is None else move(classes).long(),
        LABEL: image.new_full((count, 1, height, width), UNKNOWN) if label is None else move(label),
    }


class PrepareBatch:
    """Prepare the batches of either pipeline: a MONAI engine's ``prepare_batch``.

    Batches of bytes, as :class:`~braintumor_ext.data.CachedSlices` gives them, become grey in [0, 1], are augmented,
    normalised and repeated to the network's channels, all on the device. Others have been through the dictionary
    transforms and are moved there as they are.

    Args:
        mean: of each of the network's channels, subtracted.
        std: likewise, divided by.
        augment: what a training does to slices of bytes; None for none.
        progressive_size: shrinks the batches of a training's first epochs; None keeps their size.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        augment: BatchAugment | None = None,
        progressive_size: ProgressiveSize | None = None,
    ) -> None:
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)
        self.augment, self.progressive_size = augment, progressive_size

    def __call__(
        self,
        batch: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the images (B, C, H, W) and ``{"class", "label"}`` as :func:`prepare_slices` does.

        Smaller images are averaged (bilinear, antialiased), smaller masks take the nearest pixel.
        """
        image, target = prepare_slices(batch, device, non_blocking, **kwargs)
        label, is_bytes = target[LABEL], image.dtype == torch.uint8
        if is_bytes:
            image = image.float().div_(255)
            label = label.float()
            label = label.masked_fill_(label == UNKNOWN_BYTE, float(UNKNOWN))
        size = image.shape[-1] if self.progressive_size is None else self.progressive_size.size(image.shape[-1])
        if size != image.shape[-1]:
            image = interpolate(image, size=(size, size), mode="bilinear", antialias=True)
            label = interpolate(label.float(), size=(size, size), mode="nearest-exact").to(label.dtype)
        if is_bytes:
            if self.augment is not None:
                image, label = self.augment(image, label)
            image = self._to_network(image)
        return image.contiguous(memory_format=torch.channels_last), {**target, LABEL: label}

    def _to_network(self, grey: Tensor) -> Tensor:
        """Return (B, C, H, W) of grey (B, 1, H, W), normalised, in one pass that writes channels last."""
        mean, std = self.mean.to(grey.device), self.std.to(grey.device)
        last = grey.permute(0, 2, 3, 1)
        return torch.addcmul(-mean / std, last, 1 / std).permute(0, 3, 1, 2)
