"""The mean of each channel of the encoder's stages: what an unusual input is told by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

STAGES = ("encoder.attention1", "encoder.attention2", "encoder.attention3", "encoder.attention4")
"""The encoder's stages after their attention."""


@contextmanager
def stage_features(network: nn.Module) -> Iterator[list[Tensor]]:
    """Within the context, a forward pass leaves each stage's channel means in the list: (B, channels).

    It stays empty with a network that has no such stages.
    """
    layers = dict(network.named_modules())
    means: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        means.append(output.detach().float().mean(dim=(2, 3)))

    handles = [layers[name].register_forward_hook(keep) for name in STAGES if all(s in layers for s in STAGES)]
    try:
        yield means
    finally:
        for handle in handles:
            handle.remove()


def joined(means: list[Tensor]) -> Tensor | None:
    """Return the stages' means of one forward pass as (B, features); None if there are none."""
    return torch.cat(means[: len(STAGES)], dim=1) if means else None
