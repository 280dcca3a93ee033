"""Progressive resizing: a training whose first epochs see smaller images, and so cost less."""

from __future__ import annotations

from collections.abc import Sequence

from ignite.engine import Engine, Events

from braintumor_ext.networks import MINIMUM_SIZE


def size_at(epoch: int, max_epochs: int, image_size: int, stages: Sequence[Sequence[float]]) -> int:
    """Return the size in pixels that an epoch is trained at: a multiple of 32, or the full size.

    Args:
        epoch: from 1.
        max_epochs: the training's length.
        image_size: the full size, which every epoch after the last stage has; the last epoch always does.
        stages: (end, size) pairs in rising order: until that share of the epochs, that size, in pixels or, up to
            1, as a share of the full one.
    """
    for end, size in stages:
        if epoch <= min(round(end * max_epochs), max_epochs - 1):
            pixels = image_size * size if size <= 1 else size
            return min(max(round(pixels / MINIMUM_SIZE), 1) * MINIMUM_SIZE, image_size)
    return image_size


class ProgressiveSize:
    """Which size a training's batches are shrunk to, stage by stage less.

    :class:`~braintumor_ext.engines.PrepareBatch` does it.

    A convolution's cost goes with the area: half the size is a quarter of the time. What is learnt at a small size
    carries over, since the network is fully convolutional up to its pooling (Howard et al. 2018,
    https://www.fast.ai/posts/2018-08-10-fastai-diu-imagenet.html; Touvron et al. 2019, https://arxiv.org/abs/1906.06423).
    Validation always sees the full size.

    Args:
        max_epochs: the training's length.
        stages: (end, size) pairs in rising order: until that share of the epochs, batches have that size, in pixels or,
            up to 1, as a share of their own; rounded to a multiple of 32, never above their own.

    Raises:
        ValueError: when the stages are not in rising order, an end is not in (0, 1] or a size not positive.
    """

    def __init__(self, max_epochs: int, stages: Sequence[Sequence[float]] = ((0.6, 0.5), (0.85, 0.75))) -> None:
        ends = [end for end, _ in stages]
        if ends != sorted(set(ends)) or not all(0 < end <= 1 and size > 0 for end, size in stages):
            raise ValueError(
                f"stages must be (end, size) pairs with rising ends in (0, 1] and positive sizes, got {list(stages)}."
            )
        self.max_epochs, self.stages = max_epochs, [tuple(stage) for stage in stages]
        self.epoch = max_epochs

    def attach(self, engine: Engine) -> None:
        """Follow the trainer's epochs; until then, batches keep their size."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._follow)

    def _follow(self, engine: Engine) -> None:
        self.epoch = engine.state.epoch

    def size(self, full: int) -> int:
        """Return the size in pixels that this epoch's batches of ``full`` pixels are shrunk to."""
        return size_at(self.epoch, self.max_epochs, full, self.stages)
