"""Export a network, compare it with eager PyTorch, and keep it only if both agree."""

from __future__ import annotations

import copy
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from braintumor_ext.backends.agreement import Agreement, compare
from braintumor_ext.backends.backend import Backend
from braintumor_ext.backends.description import Description
from braintumor_ext.backends.heads_and_features import HeadsAndFeatures
from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing
from braintumor_ext.networks import BrainTumorNet

logger = logging.getLogger(__name__)


def export_network(
    network: BrainTumorNet,
    backend: Backend,
    path: str | os.PathLike[str],
    description: Description,
    images: Tensor,
    source: str,
) -> Agreement:
    """Write a network in a backend's format, once its outputs are known to be those of eager PyTorch.

    The file is written and run under another name before it gets its own; an earlier file of that name is renamed.

    Args:
        network: the network, loaded, on the CPU.
        description: what the file is to say of itself; the agreement is added.
        images: (N, C, H, W) preprocessed slices to compare the outputs on.

    Returns:
        The agreement, which the file holds too.

    Raises:
        InputError: the outputs differ by too much (no file is left), or a package is not installed.
    """
    model = converted(network, backend, images.shape[1])
    with files_beside(Path(path), "tried", "final") as (tried, final):
        backend.save(model, tried, description)
        agreement = compare(network.eval(), backend.load(tried, torch.device("cpu")), images, source)
        if agreement.problem is not None:
            raise InputError(path, agreement.problem, "It is not kept. Report this with the versions of the packages")
        backend.save(model, final, replace(description, agreement=asdict(agreement)))
    return agreement


def converted(network: BrainTumorNet, backend: Backend, channels: int) -> Any:
    """Return a network in a backend's format, in memory."""
    # A copy in the plain memory format: that of the inference is no property of the network.
    plain = HeadsAndFeatures(copy.deepcopy(network).to(memory_format=torch.contiguous_format).eval())  # type: ignore[call-overload]
    return backend.convert(plain, torch.randn(2, channels, 96, 128, generator=torch.Generator().manual_seed(0)))


@contextmanager
def files_beside(path: Path, *names: str) -> Iterator[list[Path]]:
    """Give a file called like ``path`` in a folder of each name; all files beside the last one take their place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as scratch:
        files = [Path(scratch, name, path.name) for name in names]
        for file in files:
            file.parent.mkdir()
        yield files
        _put_in_place(files[-1].parent, path)


def _put_in_place(folder: Path, path: Path) -> None:
    """Move all files of a folder beside ``path``, the one of that name last."""
    for old in path.parent.glob(f"{path.stem}.*"):
        if old.suffix == ".bin" and path.suffix == ".xml" and path.exists():
            os.utime(old, (path.stat().st_atime, path.stat().st_mtime))  # so that both are renamed alike
    for new in sorted(folder.iterdir(), key=lambda file: file.name == path.name):
        target = path.with_name(new.name)
        backup_existing(target)
        os.replace(new, target)
