"""The layers of a network by their names."""

from __future__ import annotations

import difflib

from torch import nn

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
