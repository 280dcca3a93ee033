"""What exported networks gain: time of each backend over that of eager PyTorch, in turns.

``python -m benchmarks.backends`` (the extra ``export`` brings the runtimes). A row is the median, over the rounds, of
the backend's time divided by eager PyTorch's in the same round. All have the same weights, batch and number of threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.explain import measure, ratio_text
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


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image_size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8], help="images at a time")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of each runtime")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is timed")
    options = parser.parse_args()
    torch.manual_seed(0)
    network: BrainTumorNet = BrainTumorNet().eval()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        exported(network, Path(folder))
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for threads in options.threads:
            torch.set_num_threads(threads)
            for batch in options.batch_sizes:
                images = torch.randn(batch, 3, options.image_size, options.image_size)
                calls = contestants(network, Path(folder), images.to(memory_format=torch.channels_last))
                seconds = measure(calls, options.rounds, torch.device("cpu"))
                eager = seconds["eager"]
                for name, times in seconds.items():
                    each = 1000 * statistics.median(times) / batch
                    rows.append(f"| {name} | {threads} | {batch} | {ratio_text(times, eager)} | {each:.0f} |")
    print(
        f"CPU ({platform.machine()}), {os.cpu_count()} cores, torch {torch.__version__}, {options.image_size} px, "
        f"{options.rounds} rounds\n"
    )
    print("| backend | threads | batch | over eager (least to most) | ms a slice |\n| --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
