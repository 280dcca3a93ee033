"""What runs the network how fast: time of each backend over the arithmetic limit, and over eager PyTorch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from braintumor_ext.backends import BACKENDS, Description, export_network, keep_freed_memory, load_exported
from braintumor_ext.classes import CLASSES
from braintumor_ext.engines import MixedPrecisionInferer, mixed_precision_supported
from braintumor_ext.networks import BrainTumorNet
from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import in_turns, over


def exported(network: BrainTumorNet, folder: Path) -> None:
    """Export the network in every format, as ``model.*`` in the folder.

    Args:
        network: the network.
        folder: where to write.
    """
    facts = Description(CLASSES, 3, 224, {}, "model.pt", "", "")
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

    def predict(model: Callable[[Tensor], Any]) -> None:
        with torch.no_grad():
            model(images)

    calls: dict[str, Callable[[], Any]] = {name: partial(predict, model) for name, model in networks.items()}
    if mixed_precision_supported("cpu"):
        calls["eager, bfloat16"] = partial(predict, partial(MixedPrecisionInferer(), network=network))
    return calls


def products(side: int) -> dict[str, Callable[[], Any]]:
    """Return large float32 matrix products, whose speed is the arithmetic limit: PyTorch's library and NumPy's.

    Args:
        side: of the square matrices.
    """
    a, b = torch.randn(2, side, side)
    return {"product, PyTorch": partial(torch.mm, a, b), "product, NumPy": partial(np.matmul, a.numpy(), b.numpy())}


def operations(network: nn.Module, images: Tensor) -> int:
    """Return the floating-point operations of one forward pass; a multiplication with its addition counts as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return counter.get_total_flops()


def run(quick: bool) -> list[Table]:
    """Time each backend over the arithmetic limit and over eager PyTorch."""
    size, side, settings = (64, 256, [(1, 2)]) if quick else (224, 2048, [(1, 1), (2, 1), (2, 8)])
    keep_freed_memory()  # as the bundle's inference does
    torch.manual_seed(0)
    network: BrainTumorNet = BrainTumorNet().eval()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        exported(network, Path(folder))
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for threads, batch in settings:
            torch.set_num_threads(threads)
            images = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
            calls, limits = contestants(network, Path(folder), images), products(side)
            with threadpool_limits(threads, user_api="blas"):
                seconds = in_turns({**limits, **calls}, rounds=3 if quick else 7, budget=8)
            share = operations(network, images) / (2 * side**3)
            limit = [share * min(times) for times in zip(*(seconds[name] for name in limits), strict=True)]
            for name in calls:
                times = seconds[name]
                measures = {
                    "over the limit": over(times, limit),
                    "over eager": over(times, seconds["eager"]),
                    "ms a slice": [1000 * time / batch for time in times],
                }
                rows.append(Row([name, threads, batch], measures, "at most 1.10" if name == "openvino" else ""))
    method = (
        "Time of one batch over the arithmetic limit, and over eager PyTorch, in the same round: the forward pass "
        f"alone, without reading or writing, the same random weights, images of {size} x {size} and threads. The "
        f"limit is the time that the network's operations would take at the speed of a float32 product of two "
        f"{side} x {side} matrices, the faster of PyTorch's and NumPy's. Eager PyTorch is as inference runs it: "
        "float32, `channels_last`; bfloat16 may be below the limit, which is float32's."
    )
    return [Table("runtimes", "Exported networks", method, ["backend", "threads", "batch"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
