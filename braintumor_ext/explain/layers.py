"""The layers of a network by their names, and what some of them tell: channel means, attention gates."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from monai.networks.utils import eval_mode
from monai.visualize.visualizer import default_upsampler
from torch import Tensor, nn

from braintumor_ext.networks.cbam import SpatialAttention

DEFAULT_LAYER = "encoder.attention4"
"""The encoder's last stage after its attention: the deepest features that still know where."""


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return a network's layer by its name in ``network.named_modules()``.

    Raises:
        ValueError: there is none of that name; valid ones are listed.
    """
    layers = dict(network.named_modules())
    if name in layers and name:
        return layers[name]
    near = difflib.get_close_matches(name, layers, n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"the network has no layer {name!r}.{hint} Valid are {', '.join(layer_names(network))}, and the layers in them."
    )


def layer_names(network: nn.Module) -> list[str]:
    """Return the names of a network's layers, two levels deep, in their order."""
    return [name for name, _ in network.named_modules() if name and name.count(".") < 2]


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

    with ExitStack() as hooks:
        if layers.keys() >= set(STAGES):
            for name in STAGES:
                hooks.enter_context(layers[name].register_forward_hook(keep))
        yield means


def attention_map(network: nn.Module, x: Tensor, layer: str = DEFAULT_LAYER) -> Tensor:
    """Return the gate of a layer's spatial attention, (B, 1, H, W) in (0, 1), brought to the images' size.

    The gate says nothing about any class, and it is blended with the features as they are: ``alpha`` of the stage's
    :class:`~braintumor_ext.networks.ReZeroAttention` tells how much of it is in effect.

    Args:
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
    hook = inside[0].register_forward_hook(lambda module, inputs, output: gates.append(module.gate(inputs[0])))
    with hook, eval_mode(network), torch.no_grad():
        network(x)
    return default_upsampler(x.shape[2:])(gates[-1].float())
