"""The network beside ResNet50: time and arithmetic of one forward pass."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from braintumor_ext.networks import BrainTumorNet
from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import in_turns, over


def gflops(network: nn.Module, images: Tensor) -> float:
    """Return the floating-point operations of one image's forward pass, in 1e9; a multiply-add is two.

    Convolutions and matrix products are counted; what is element-wise is not.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops() / len(images) / 1e9


def run(quick: bool) -> list[Table]:
    """Time the network over torchvision's ResNet50."""
    size, batch = (64, 1) if quick else (224, 4)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    networks: dict[str, Any] = {
        "ResNet50 (torchvision)": resnet50(num_classes=4),
        "ours": BrainTumorNet(),
        "ours without attention": BrainTumorNet(attention=False),
    }
    networks = {name: n.to(device, memory_format=torch.channels_last).eval() for name, n in networks.items()}
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)

    def predict(network: nn.Module) -> None:
        with torch.inference_mode():
            network(images)

    calls = {name: partial(predict, network) for name, network in networks.items()}
    seconds = in_turns(calls, 3 if quick else 9, budget=25, device=device)
    reference, *_ = networks
    arithmetic = {name: gflops(network, images) for name, network in networks.items()}
    rows = [
        Row(
            [name],
            {
                "GFLOPs over ResNet50's": [arithmetic[name] / arithmetic[reference]],
                "time over ResNet50's": over(seconds[name], seconds[reference]),
                "GFLOPs": [arithmetic[name]],
                "ms a slice": [1000 * s / batch for s in seconds[name]],
                "million values": [sum(p.numel() for p in network.parameters()) / 1e6],
            },
            "at most 1.35" if name == "ours" else "",
        )
        for name, network in networks.items()
    ]
    method = (
        f"Forward pass in float32, eager PyTorch, random weights, batch of {batch} images of {size} x {size}, "
        f"{torch.get_num_threads()} threads. A multiply-add is two operations; convolutions and matrix products are "
        "counted."
    )
    return [Table("forward", "The network beside ResNet50", method, ["network"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
