"""What network a checkpoint is of: plain values that ``training.json`` holds, and the network that they make."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from braintumor_ext.networks.baselines import ClassifierBaseline, UNetBaseline
from braintumor_ext.networks.brain_tumor_net import BrainTumorNet

ARCHITECTURE = "architecture"
ARCHITECTURES: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (BrainTumorNet, ClassifierBaseline, UNetBaseline)
}
"""The networks that can be described, by name."""

_MLP, _GATE = (f"encoder.attention4.attention.{name}.weight" for name in ("channel.mlp.0", "spatial.conv"))
_MASK_HEAD = "decoder.head.weight"

_THIRD_STAGES = {
    (False, 2): "resnet18",
    (False, 6): "resnet34",
    (True, 6): "resnet50",
    (True, 23): "resnet101",
    (True, 36): "resnet152",
}
"""Whether the third stage's blocks have three convolutions, and how many there are, to the encoder's name."""

LARGEST = 65_536
"""No argument is larger: a description is data from elsewhere, and is not to allocate whatever it names."""


def describe_network(network: nn.Module) -> dict[str, Any] | None:
    """Return the name and the arguments of a network; None of one that is not among ``ARCHITECTURES``."""
    name = type(network).__name__
    if ARCHITECTURES.get(name) is not type(network):
        return None
    return {ARCHITECTURE: name, **network.arguments}  # type: ignore[dict-item]


def check_description(description: Any) -> None:
    """Raise unless a description names a network that there is, and plain values of its arguments.

    Raises:
        ValueError: it is something else; what is wrong is named.
    """
    if not isinstance(description, Mapping):
        raise ValueError(f"{description!r}, no arguments of a network")
    name = description.get(ARCHITECTURE, BrainTumorNet.__name__)
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ValueError(f"of the {ARCHITECTURE} {name!r}; there are {', '.join(ARCHITECTURES)}")
    known = inspect.signature(ARCHITECTURES[name]).parameters
    for key, value in description.items():
        if key == ARCHITECTURE:
            continue
        if key not in known:
            raise ValueError(f"with an argument {key!r}; those of {name} are {', '.join(known)}")
        if not _is_plain(value):
            plain = f"true, false, a number from 0 to {LARGEST} nor a name"
            raise ValueError(f"with {key} {value!r}, which is neither {plain}")


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return value.isidentifier()
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= LARGEST


def build_network(description: Mapping[str, Any]) -> nn.Module:
    """Return a new network of a description, with random weights.

    Args:
        description: as :func:`describe_network` gives it. Without an ``architecture`` it is ``BrainTumorNet``;
            arguments that it leaves out have their defaults.

    Raises:
        ValueError: it describes no network.
    """
    check_description(description)
    arguments = dict(description)
    return ARCHITECTURES[arguments.pop(ARCHITECTURE, BrainTumorNet.__name__)](**arguments)


def describe_weights(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments of the ``BrainTumorNet`` that a state dict is of, from its names and shapes.

    It is for checkpoints that came without their description: those of before 0.5, and those without ``training.json``.
    """
    if "encoder.conv1.weight" not in state or "classifier.5.weight" not in state:
        return {}
    found: dict[str, Any] = {
        "in_channels": state["encoder.conv1.weight"].shape[1],
        "num_classes": state["classifier.5.weight"].shape[0],
        "hidden": state["classifier.5.weight"].shape[1],
        "attention": _MLP in state,
        "segmentation": _MASK_HEAD in state,
        "encoder": _encoder_of(state),
        "output_stride": int(state["output_stride"]) if "output_stride" in state else 32,
        "pyramid_activation": any(name.startswith("decoder.activations.") for name in state),
    }
    if _MLP in state and _GATE in state:
        found["reduction"] = state[_MLP].shape[1] // state[_MLP].shape[0]
        found["kernel_size"] = state[_GATE].shape[-1]
    if _MASK_HEAD in state:
        found["pyramid_channels"] = state[_MASK_HEAD].shape[1]
    return found


def _encoder_of(state: Mapping[str, Tensor]) -> str:
    names = [name.removeprefix("encoder.layer3.") for name in state if name.startswith("encoder.layer3.")]
    blocks = {name.partition(".")[0] for name in names}
    return _THIRD_STAGES.get(("0.conv3.weight" in names, len(blocks)), "resnet50")
