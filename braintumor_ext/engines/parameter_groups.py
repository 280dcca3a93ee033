"""Which parameters an optimizer's weight decay shrinks."""

from __future__ import annotations

from typing import Any

from torch import nn

DECAY_ON = ("all", "matrices")


def parameter_groups(network: nn.Module, decay_on: str = "all") -> list[dict[str, Any]]:
    """Return a network's parameters as an optimizer's ``params``, in groups by whether they decay.

    Biases and the scales of normalisation layers have one dimension; pulling them to zero does not regularise what the
    network computes (He et al. 2019, https://arxiv.org/abs/1812.01187, section 3.1). Their group has ``weight_decay``
    0; the other keeps the optimizer's own.

    Args:
        network: the network that is trained, perhaps in a distributed wrapper.
        decay_on: ``all`` parameters decay, in one group; or only ``matrices``, those of more than one dimension.

    Raises:
        ValueError: when ``decay_on`` is neither.
    """
    if decay_on not in DECAY_ON:
        raise ValueError(f"decay_on must be one of {', '.join(DECAY_ON)}, got {decay_on!r}.")
    parameters = list(network.parameters())
    if decay_on == "all":
        return [{"params": parameters}]
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
