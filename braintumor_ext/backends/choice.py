"""The network that an inference runs: the eager one, or an exported one."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch
from torch import nn

from braintumor_ext.backends.backend import Backend
from braintumor_ext.backends.exported_network import ExportedNetwork
from braintumor_ext.backends.onnx import Onnx
from braintumor_ext.backends.openvino import OpenVino
from braintumor_ext.backends.torchscript import TorchScript
from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.errors import InputError
from braintumor_ext.explain import METHODS

logger = logging.getLogger(__name__)

BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (TorchScript(), Onnx(), OpenVino())}
"""The formats of exported networks by name."""

EAGER = "eager"  # PyTorch on the checkpoint itself, no export
BLACK_BOX_METHODS = ("occlusion",)  # the heat maps that need neither gradients nor layers


def backend_named(name: str) -> Backend | None:
    """Return a backend; None for ``eager``.

    Raises:
        InputError: there is none of that name; valid ones are listed.
    """
    found = str(name).strip().lower()
    if found == EAGER:
        return None
    if found not in BACKENDS:
        raise InputError("--backend", f"there is no backend {name!r}", f"Valid are {', '.join((EAGER, *BACKENDS))}")
    return BACKENDS[found]


def load_exported(
    backend: Backend,
    checkpoint: str | os.PathLike[str],
    exported: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
) -> ExportedNetwork:
    """Read an exported network.

    Args:
        checkpoint: the checkpoint that it was made from, which need not exist.
        exported: its file; None for the one of the checkpoint's name beside it.

    Raises:
        InputError: the file or a package is missing, or the file is broken, or a byte of it has changed.
    """
    path = Path(checkpoint).with_suffix(backend.suffix) if exported is None else Path(exported)
    again = f"python -m scripts.export --checkpoint {checkpoint} --format {backend.name}"
    if not path.is_file():
        raise InputError(path, f"no such {backend.name} export", f"Make it: {again}, or give --exported PATH")
    device = torch.device(device)
    try:
        backend.check(path)
        network = backend.load(path, device)
    except InputError:
        raise
    except Exception as error:  # each runtime has its own kinds; all mean the same to the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(path, f"not a readable {backend.name} export ({reason})", f"Make it again: {again}") from error
    if network.description.content_sha256 is None:
        logger.warning("%s tells no checksum of its own, by which damage would be seen: %s", path, again)
    if device.type != "cpu" and backend.name != TorchScript.name:
        logger.info("The backend %s runs on the CPU, whatever the device.", backend.name)
    return network.eval()


def choose_network(
    network: nn.Module,
    backend: str,
    checkpoint: str | os.PathLike[str],
    exported: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    classes: Classes = CLASSES,
    in_channels: int = 3,
    image_size: int = 224,
) -> nn.Module:
    """Return the network to run: the given one on its device, or an exported one in its place.

    Args:
        checkpoint: the checkpoint in use; an exported network must be of it if it exists.
        exported: the exported file; None for the one beside the checkpoint.
        device: where it is to run; ONNX and OpenVINO run on the CPU.
        in_channels: the input's channels in use, as ``classes`` and its side ``image_size`` are.

    Raises:
        InputError: there is no such backend, package or file, or the file is of another checkpoint or other classes.
    """
    chosen = backend_named(backend)
    if chosen is None:
        return network.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = load_exported(chosen, checkpoint, exported, device)
    found.check(os.fspath(checkpoint), classes, in_channels, image_size)
    return found


def usable_calibration(
    calibration: str | os.PathLike[str] | None, network: nn.Module, loaded: bool = True
) -> str | os.PathLike[str] | None:
    """Return the calibration to use with a network: ``none`` for random weights and, with a word in the log, for int8.

    The temperature and thresholds belong to the float32 network: int8 moves logits and features. Weights that were not
    ``loaded`` from the checkpoint are random.
    """
    if not loaded:
        return "none"
    if not isinstance(network, ExportedNetwork) or network.description.quantisation is None:
        return calibration
    lost = "probabilities are not calibrated, and neither unusual inputs nor predictions of low confidence are told"
    logger.warning("%s is int8, and the calibration belongs to float32: %s.", network.path, lost)
    return "none"


def usable_explanation(explain: str | None, backend: str = EAGER) -> str | None:
    """Return the method of explanation to use with a backend: ``none``, with a word in the log, where it can't be."""
    if backend_named(backend) is None or not _looks_inside(explain):
        return explain
    text = "No heat maps: %s looks into the network, which --backend %s doesn't allow. --explain %s works."
    logger.info(text, explain, backend, BLACK_BOX_METHODS[0])
    return "none"


def check_explanation(explain: str | None, network: nn.Module) -> None:
    """Raise where a network can't be explained in the way that was asked for.

    Raises:
        InputError: it is an exported one, and the method looks into the network.
    """
    if isinstance(network, ExportedNetwork) and _looks_inside(explain):
        problem = f"it looks into the network, which the backend {network.backend} doesn't allow"
        remedy = f"Take the backend {EAGER}, or explain by {BLACK_BOX_METHODS[0]}"
        raise InputError(f"--explain {explain}", problem, remedy)


def _looks_inside(explain: str | None) -> bool:
    """Return whether a method needs gradients or layers."""
    return str(explain).lower() in set(METHODS) - set(BLACK_BOX_METHODS)
