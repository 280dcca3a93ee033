"""The spatial attention's own maps: where the network's gates are open."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.utils import eval_mode
from monai.visualize.visualizer import default_upsampler
from torch import Tensor, nn

from braintumor_ext.explain.layers import DEFAULT_LAYER, find_layer
from braintumor_ext.networks.cbam import SpatialAttention


def attention_map(network: nn.Module, x: Tensor, layer: str = DEFAULT_LAYER) -> Tensor:
    """Return the gate of a layer's spatial attention, (B, 1, H, W) in (0, 1), brought to the images' size.

    The gate says nothing about any class, and it is blended with the features as they are: ``alpha`` of the stage's
    :class:`~braintumor_ext.networks.ReZeroAttention` tells how much of it is in effect.

    Args:
        network: the network.
        x: (B, C, H, W) images.
        layer: a layer with one spatial attention in it.

    Raises:
        ValueError: there is no such layer, or no spatial attention in it.
    """
    inside = [module for module in find_layer(network, layer).modules() if isinstance(module, SpatialAttention)]
    if len(inside) != 1:
        holders = [n for n, m in network.named_modules() if isinstance(m, SpatialAttention)]
        told = f"valid are {', '.join(holders)}" if holders else "the network has none"
        raise ValueError(f"the layer {layer!r} holds {len(inside)} spatial attentions, not one: {told}.")
    gates: list[Tensor] = []

    def keep(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        gates.append(inside[0].gate(inputs[0]))

    handle = inside[0].register_forward_hook(keep)
    try:
        with eval_mode(network), torch.no_grad():
            network(x)
    finally:
        handle.remove()
    return default_upsampler(x.shape[2:])(gates[-1].float())
