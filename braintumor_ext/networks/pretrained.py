"""What a new network starts from: ImageNet weights, or a checkpoint of this bundle."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import WeightsEnum, get_model_weights

from braintumor_ext.errors import InputError
from braintumor_ext.networks.baselines import CLASSIFIERS, ClassifierBaseline
from braintumor_ext.networks.checkpoint import load_weights, misfit, read_state_dict
from braintumor_ext.networks.encoder import AttentionResNet

logger = logging.getLogger(__name__)


def adapt_first_convolution(weight: Tensor, in_channels: int) -> Tensor:
    """Return a first convolution's weights, learnt on RGB images (out, 3, k, k), for another number of input channels.

    The channels are averaged and repeated, scaled by 3 / ``in_channels``: a grey image repeated over any number of
    channels gives the same features as the same image in RGB.
    """
    if weight.shape[1] == in_channels:
        return weight
    return weight.mean(dim=1, keepdim=True).repeat(1, in_channels, 1, 1) * (weight.shape[1] / in_channels)


def load_encoder(encoder: AttentionResNet, state: Mapping[str, Tensor]) -> None:
    """Load torchvision's state dict of the same ResNet into the encoder, strictly but for ``fc`` and the attention.

    Raises:
        ValueError: when keys are missing, unexpected or of another shape.
    """
    if "conv1.weight" in state:
        state = {**state, "conv1.weight": adapt_first_convolution(state["conv1.weight"], encoder.conv1.in_channels)}
    _load_backbone(encoder, encoder.name, "fc.", state)


def _load_backbone(network: nn.Module, kind: str, last: str, state: Mapping[str, Tensor]) -> None:
    """Load torchvision's state dict strictly but for its ``last`` layer, by a prefix, and the network's attention."""
    backbone = {key: value for key, value in state.items() if not key.startswith(last)}
    wanted = {key: value for key, value in network.state_dict().items() if not key.startswith((last, "attention"))}
    if wrong := misfit(wanted, backbone):
        raise ValueError(f"not a {kind} state dict with torchvision's keys: {wrong}")
    network.load_state_dict(backbone, strict=False)


def load_pretrained(network: nn.Module, pretrained: bool | str | PathLike[str]) -> None:
    """Apply pretrained weights to a new network, in place.

    Args:
        network: with an ``encoder`` of type :class:`AttentionResNet`, or a :class:`ClassifierBaseline`, which takes
            the weights of its own kind. There are none for another network.
        pretrained: ``True`` for torchvision's ImageNet weights (downloaded once and cached by torch), the path of a
            torchvision-shaped state dict or of a checkpoint of the same network (all of it is loaded, see
            :func:`~braintumor_ext.networks.load_weights`), or ``False`` for none.

    Raises:
        InputError: when the download fails, the file is missing or no such state dict, or there are no such weights.
    """
    if pretrained is False or pretrained in ("", "false", "False", None):
        logger.info("Encoder: random initial weights (pretrained is false).")
        return
    if not isinstance(pretrained, bool) and _is_whole(pretrained):
        load_weights(network, pretrained, as_start=True)
        logger.info("Network: starts from the checkpoint %s.", pretrained)
        return
    kind, weights, load = _weights_for(network)
    if pretrained is True or pretrained in ("true", "True"):
        try:
            state = weights.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            problem = f"the ImageNet weights could not be downloaded ({error})"
            file = f"a {kind} state dict with torchvision's keys (the file of that address, fetched elsewhere)"
            remedy = f"Give --pretrained PATH of {file}, or --pretrained false to train from random weights"
            raise InputError(weights.url, problem, remedy) from error
        source = f"torchvision {weights}"
    else:
        source = str(pretrained)
        state = read_state_dict(source)
    try:
        load(state)
    except ValueError as error:
        raise InputError(source, str(error), f"Give the file that torchvision publishes for {kind}") from error
    logger.info("Encoder: pretrained weights from %s.", source)


def _is_whole(pretrained: str | PathLike[str]) -> bool:
    """Return whether a checkpoint of this bundle is given, not a backbone's state dict."""
    return Path(pretrained).is_file() and any(key.startswith("encoder.") for key in read_state_dict(pretrained))


def _weights_for(network: nn.Module) -> tuple[str, WeightsEnum, Callable[[Mapping[str, Tensor]], None]]:
    """Return the kind of a network's backbone, its ImageNet weights and what loads them."""
    if isinstance(network, ClassifierBaseline):
        weights, last = CLASSIFIERS[network.name]
        return network.name, weights, partial(_load_backbone, network.classifier, network.name, last)
    encoder = getattr(network, "encoder", None)
    if isinstance(encoder, AttentionResNet):
        return encoder.name, get_model_weights(encoder.name).DEFAULT, partial(load_encoder, encoder)
    problem = f"there are no ImageNet weights for a {type(network).__name__}"
    raise InputError("pretrained", problem, "Give --pretrained false to train from random weights")
