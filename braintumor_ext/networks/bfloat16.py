"""The network in bfloat16 where that costs little: for CPUs that multiply in it several times as fast as in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from braintumor_ext.networks.brain_tumor_net import BrainTumorNet

STAGES = tuple(f"encoder.{part}{stage}" for stage in (2, 3, 4) for part in ("layer", "attention"))
"""What is computed in bfloat16 besides the decoder. What comes before, the stem and the first stage, has a sixth of the
encoder's arithmetic and hands its rounding errors on to all that follows; the classifier has hardly any arithmetic."""


def cpu_has_bfloat16() -> bool:
    """Return whether this CPU multiplies in bfloat16: with AMX, or with AVX512_BF16.

    Those are Intel's from Cooper Lake and Sapphire Rapids on, and AMD's from Zen 4 on.
    """
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def has_bfloat16_stages(network: nn.Module) -> bool:
    """Return whether :func:`bfloat16_stages` knows the network: a ``BrainTumorNet``."""
    return isinstance(network, BrainTumorNet)


@contextmanager
def bfloat16_stages(network: nn.Module) -> Iterator[None]:
    """Within the context, stages 2 to 4 and decoder of a ``BrainTumorNet`` compute in bfloat16 on a CPU, by autocast.

    Outputs stay float32, and so does the classifier: what leads from ``encoder.attention4`` to a class, a gradient too,
    is float32. Modules keep their names, weights and hooks. On other devices nothing changes.

    Raises:
        ValueError: it is another network.
    """
    if not isinstance(network, BrainTumorNet):
        raise ValueError(f"a BrainTumorNet is needed, got {type(network).__name__}.")
    changed: list[tuple[nn.Module, Callable[..., Tensor]]] = [
        (module, _in_bfloat16(module.forward)) for module in map(network.get_submodule, STAGES)
    ]
    classify = network.classifier.forward
    changed.append((network.classifier, lambda features: classify(features.float())))
    if network.decoder is not None:
        decode = _in_bfloat16(network.decoder.forward)
        changed.append((network.decoder, lambda *args: decode(*args).float()))
    for module, forward in changed:
        module.forward = forward  # hooks run outside of it, in float32
    try:
        yield
    finally:
        for module, _ in changed:
            del module.forward  # its class's shows again


def _in_bfloat16(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(*args: object) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return forward(*args)

    return call
