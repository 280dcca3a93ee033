"""Checkpoints: ``model.pt``, a flat state dict, and the network that it is of."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from braintumor_ext.errors import InputError
from braintumor_ext.networks.description import build_network, describe_weights
from braintumor_ext.networks.settings import NETWORK, check_settings, read_settings

STRIDE = "output_stride"
CLASS_LAYER = ("classifier.5.weight", "classifier.5.bias")

logger = logging.getLogger(__name__)


def load_checkpoint(path: str | PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a checkpoint with its weights, and the settings that it was trained with.

    Returns:
        The network, in evaluation mode, and what ``training.json`` beside it holds; nothing where it is not known.

    Raises:
        InputError: when it cannot be read, or is of no network that this package has.
    """
    settings = read_settings(path)
    classes = settings.get("class_names")
    network = network_of_checkpoint(path, **({} if classes is None else {"num_classes": len(classes)}))
    load_weights(network, path)
    return network.eval(), settings


def network_of_checkpoint(checkpoint: str | PathLike[str], **arguments: Any) -> nn.Module:
    """Return a new network of the kind that a checkpoint is of; its weights are not loaded.

    ``training.json`` tells the network. A checkpoint that came without, as those of before 0.5, is taken for a
    ``BrainTumorNet`` whose arguments are seen from the weights; one that does not exist, for one of the defaults.

    Args:
        arguments: arguments of the network that go before the checkpoint's; where they contradict its weights,
            :func:`load_weights` tells.
    """
    told = read_settings(checkpoint).get(NETWORK)
    if told is None:
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)  # shapes only, no weights
        except Exception:  # torch raises many kinds for a broken file, of which load_weights tells
            state = None
        told = describe_weights(state) if isinstance(state, dict) else {}
    return build_network({**told, **arguments})


def load_weights(
    network: nn.Module, path: str | PathLike[str], settings: Mapping[str, Any] | None = None, as_start: bool = False
) -> None:
    """Load a checkpoint's weights into a network that is there already, strictly and in place.

    Args:
        network: the network as it was trained (the same classes, channels and attention).
        settings: the settings in use, compared with those it was trained with where these are known.
        as_start: whether a training starts from it, which may have other classes (the last layer for the class then
            keeps its own weights) and another output stride.

    Raises:
        InputError: when the file is no checkpoint of this architecture, or of other classes; what differs is named.
    """
    state = read_state_dict(path)
    check_settings(path, settings or {})
    own = network.state_dict()
    if as_start:
        state.pop(STRIDE, None)
        state |= {key: own[key] for key in own if key == STRIDE}
        if any(own[key].shape != state.get(key, own[key]).shape for key in CLASS_LAYER if key in own):
            state |= {key: own[key] for key in CLASS_LAYER}
            logger.info("%s has other classes: the last layer for the class starts from random weights.", path)
    if wrong := misfit(own, state):
        overlay = "last of all the configs an overlay with its network_def, or another checkpoint"
        remedy = f"Give the class_names and in_channels of its training, {overlay}"
        raise InputError(path, f"a checkpoint of another architecture: {wrong}", remedy)
    network.load_state_dict(state)


def misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """Return what keeps a state dict from being loaded in the place of a network's own; None if it fits."""
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in sorted(set(own) & set(state))
        if own[key].shape != state[key].shape
    ]
    told = f"missing {_first_of(missing)}, unexpected {_first_of(unexpected)}, of another shape {_first_of(shapes)}"
    return told if missing or unexpected or shapes else None


def read_state_dict(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read a flat state dict that ``torch.save`` wrote, with ``weights_only=True``.

    Raises:
        InputError: when the file is missing, unreadable or not a flat mapping of names to tensors.
    """
    if not Path(path).is_file():
        raise InputError(path, "no such checkpoint", "Train first, or give the path of a model.pt")
    try:
        if zipfile.is_zipfile(path) and (broken := damaged_part(path)):
            raise InputError(path, f"is damaged: its part {broken} has changed", "Copy it again from its source")
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # torch raises many kinds for a broken file; all mean the same to the user
        problem = f"not a readable PyTorch checkpoint ({type(error).__name__})"
        raise InputError(path, problem, "Give a file written by torch.save(network.state_dict(), path)") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        nested = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
        problem = f"not a flat state dict (it holds {_first_of(nested) if isinstance(nested, list) else nested})"
        raise InputError(path, problem, "Give model.pt, the best weights; last.pt only resumes a training")
    return state


def damaged_part(path: str | PathLike[str]) -> str | None:
    """Return the first part of a file by ``torch.save`` that its checksum, which torch doesn't look at, does not fit.

    Raises:
        BadZipFile: the file is none, or does not reach its end.
    """
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def _first_of(names: list[str]) -> str:
    """A few of many names as text."""
    return (", ".join(names[:3]) or "nothing") + (f" and {len(names) - 3} more" if len(names) > 3 else "")
