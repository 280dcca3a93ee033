"""The one interface of all backends: how an exported network is written, and how it is run."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from braintumor_ext.backends.description import Description
from braintumor_ext.backends.exported_network import ExportedNetwork
from braintumor_ext.backends.heads_and_features import HeadsAndFeatures
from braintumor_ext.backends.seal import check_seal
from braintumor_ext.errors import InputError


class Backend(ABC):
    """A format of exported networks with the runtime that runs it.

    A further one is a class like these, and an entry in ``BACKENDS``.
    """

    name: ClassVar[str]  # as ``--backend`` and ``--format`` name it
    suffix: ClassVar[str]  # of its files, with the dot: ``model`` + suffix lies beside ``model.pt``

    @abstractmethod
    def convert(self, network: HeadsAndFeatures, images: Tensor) -> Any:
        """Return the network in this format, in memory, with dynamic batch and size.

        Args:
            network: in ``eval`` mode, on the CPU.
            images: (B, C, H, W) example input; B > 1, and H and W differ, so that nothing is taken for a constant.

        Raises:
            InputError: a package is not installed.
        """

    @abstractmethod
    def save(self, model: Any, path: Path, description: Description) -> None:
        """Write what ``convert`` returned, sealed, with its description under ``METADATA_KEY``.

        ``path`` is its file; further files get the same name with other suffixes.
        """

    def check(self, path: Path) -> None:
        """Raise an InputError where a byte of a file has changed since ``save`` wrote it, if it is sealed."""
        check_seal(path, self.others(path))

    def others(self, path: Path) -> list[Path]:
        """Return the files that belong to one."""
        return []

    @abstractmethod
    def load(self, path: Path, device: torch.device) -> ExportedNetwork:
        """Read and compile a network; a runtime that knows only the CPU runs there, whatever the device.

        Raises:
            Exception: of any kind, when the file is broken; :func:`~braintumor_ext.backends.load_exported` explains it.
        """


def needed(package: str, backend: str, extra: str = "export") -> Any:
    """Import and return an optional package.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        problem = f"the package {package} is not installed ({error})"
        remedy = f'Install it: pip install {package}, or pip install -e ".[{extra}]"'
        raise InputError(backend, problem, remedy) from error
