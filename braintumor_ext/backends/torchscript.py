"""TorchScript: PyTorch's own serialised form, run by PyTorch on the CPU and on GPUs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braintumor_ext.backends.backend import Backend
from braintumor_ext.backends.description import METADATA_KEY, Description
from braintumor_ext.backends.exported_network import ExportedNetwork
from braintumor_ext.backends.heads_and_features import HeadsAndFeatures

_EXTRA_FILE = f"{METADATA_KEY}.json"


class TorchScript(Backend):
    """Scripted, not traced: every size and batch runs the same code."""

    name = "torchscript"
    suffix = ".ts"

    def convert(self, network: HeadsAndFeatures, images: Tensor) -> Any:
        """Return the scripted module."""
        with _no_deprecation():
            return torch.jit.script(network)

    def save(self, model: Any, path: Path, description: Description) -> None:
        """Write the module with its description as an extra file."""
        with _no_deprecation():
            torch.jit.save(model, str(path), _extra_files={_EXTRA_FILE: description.to_json().encode()})

    def load(self, path: Path, device: torch.device) -> ExportedNetwork:
        """Read the module onto the device."""
        extra = {_EXTRA_FILE: ""}
        with _no_deprecation():
            module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
        module = module.to(memory_format=torch.channels_last)
        return ExportedNetwork(module, Description.from_json(extra[_EXTRA_FILE]), path, self.name)


@contextmanager
def _no_deprecation() -> Iterator[None]:
    """PyTorch calls TorchScript deprecated, but MONAI Deploy and MONAI Label still read it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch\\.jit\\..* is (deprecated|not supported).*")
        yield
