"""What exported networks gain: time of each backend over that of eager PyTorch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.command import main
from benchmarks.record import Row, Table
from benchmarks.timing import in_turns, over
from braintumor_ext.backends import BACKENDS, Description, export_network, load_exported
from braintumor_ext.data.classes import CLASS_NAMES
from braintumor_ext.networks import BrainTumorNet


def exported(network: BrainTumorNet, folder: Path) -> None:
    """Export the network in every format, as ``model.*`` in the folder.

    Args:
        network: the network.
        folder: where to write.
    """
    facts = Description(CLASS_NAMES, None, 3, 224, {}, "model.pt", "", "")
    images = torch.randn(2, 3, 64, 64)
    for backend in BACKENDS.values():
        export_network(network, backend, folder / f"model{backend.suffix}", facts, images, "noise")


def contestants(network: BrainTumorNet, folder: Path, images: Tensor) -> dict[str, Callable[[], Any]]:
    """Return what is timed: its name to a call that predicts the batch.

    Args:
        network: the eager network, in ``channels_last`` as inference has it.
        folder: where its exports lie.
        images: (B, 3, H, W).
    """
    networks: dict[str, nn.Module] = {"eager": network}
    networks |= {name: load_exported(backend, folder / "model.pt") for name, backend in BACKENDS.items()}

    def predict(model: nn.Module) -> None:
        with torch.no_grad():
            model(images)

    return {name: partial(predict, model) for name, model in networks.items()}


def run(quick: bool) -> list[Table]:
    """Time the exported networks over eager PyTorch."""
    size, settings = (64, [(1, 2)]) if quick else (224, [(1, 1), (1, 8), (2, 1), (2, 8)])
    torch.manual_seed(0)
    network: BrainTumorNet = BrainTumorNet().eval()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        exported(network, Path(folder))
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for threads, batch in settings:
            torch.set_num_threads(threads)
            images = torch.randn(batch, 3, size, size)
            calls = contestants(network, Path(folder), images.to(memory_format=torch.channels_last))
            seconds = in_turns(calls, rounds=3 if quick else 7, budget=20)
            for name, times in seconds.items():
                each = [1000 * time / batch for time in times]
                rows.append(
                    Row([name, threads, batch], {"over eager": over(times, seconds["eager"]), "ms a slice": each})
                )
    method = (
        f"Time of one batch over that of eager PyTorch in the same round: the forward pass alone, without reading or "
        f"writing, the same random weights, images of {size} x {size} and threads. Eager PyTorch is as inference runs "
        "it: float32, `channels_last`."
    )
    return [Table("runtimes", "Exported networks", method, ["backend", "threads", "batch"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
