"""TorchScript: PyTorch's own serialised form, run by PyTorch on the CPU and on GPUs."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braintumor_ext.backends.backend import Backend
from braintumor_ext.backends.description import METADATA_KEY, Description
from braintumor_ext.backends.exported_network import ExportedNetwork
from braintumor_ext.backends.heads_and_features import HeadsAndFeatures
from braintumor_ext.backends.seal import BLANK, archive_sha256, damaged

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
            for sealed in (BLANK, None):
                text = replace(description, content_sha256=sealed or archive_sha256(path, _EXTRA_FILE)).to_json()
                torch.jit.save(model, str(path), _extra_files={_EXTRA_FILE: text.encode()})

    def check(self, path: Path) -> None:
        """Compare the archive's entries with their own checksums, and with the seal."""
        if not zipfile.is_zipfile(path):
            return  # loading it will tell
        with zipfile.ZipFile(path) as archive:
            try:
                texts = [archive.read(name) for name in archive.namelist() if name.endswith(f"/extra/{_EXTRA_FILE}")]
            except zipfile.BadZipFile as error:
                raise damaged(path, str(error)) from error
        if texts and (told := Description.from_json(texts[0]).content_sha256) is not None:
            found = archive_sha256(path, _EXTRA_FILE)
            if found != told:
                raise damaged(path, f"SHA-256 {found[:12]}…, not {told[:12]}…")

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
