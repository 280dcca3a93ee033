"""Export a network, compare it with eager PyTorch, and keep it only if both agree."""

from __future__ import annotations

import copy
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from braintumor_ext.backends.backend import Backend
from braintumor_ext.backends.description import Description
from braintumor_ext.backends.heads_and_features import OUTPUTS, HeadsAndFeatures
from braintumor_ext.errors import InputError
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.files import backup_existing
from braintumor_ext.keys import CLASS
from braintumor_ext.networks import BrainTumorNet

BATCH = 8

LIMIT = 1e-4  # the largest difference that an export may have


@dataclass(frozen=True)
class Agreement:
    """The differences of two networks' outputs over the same slices."""

    slices: int
    source: str
    # output name to the largest absolute difference, over the largest absolute eager value
    differences: Mapping[str, float]
    same_class: float  # share of the slices, in [0, 1], that get the same class

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None if it is good."""
        far = [f"{name} {value:.1e}" for name, value in self.differences.items() if not value < LIMIT]  # NaN is far too
        if far:
            return f"differs from eager PyTorch by {', '.join(far)} (less than {LIMIT:.0e} is asked for)"
        if self.same_class < 1:
            return f"gives the same class as eager PyTorch for only {self.same_class:.1%} of {self.slices} slices"
        return None


def compare(network: nn.Module, exported: nn.Module, images: Tensor, source: str) -> Agreement:
    """Run both networks on the same images, preprocessed slices (N, C, H, W), in float32 on the CPU.

    Args:
        network: the eager network, as inference runs it.
        exported: gives ``class``, ``mask`` and ``features``.
        source: where the slices come from.
    """
    batches = images.split(BATCH)
    with torch.no_grad(), highest_precision():
        eager = _outputs(lambda x: ExplainingInferer("none")(x, network), batches)
        other = _outputs(exported, batches)
    differences = {name: float((other[name] - eager[name]).abs().max() / eager[name].abs().max()) for name in OUTPUTS}
    same = (other[CLASS].argmax(dim=1) == eager[CLASS].argmax(dim=1)).float().mean()
    return Agreement(len(images), source, differences, float(same))


@contextmanager
def highest_precision() -> Iterator[None]:
    """Within the context, PyTorch multiplies float32 matrices in float32, not in TF32 or bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _outputs(call: Callable[[Tensor], Any], batches: tuple[Tensor, ...]) -> dict[str, Tensor]:
    found = [call(batch) for batch in batches]
    return {name: torch.cat([output[name] for output in found]).double() for name in OUTPUTS}


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
