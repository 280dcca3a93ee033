"""What a heat map costs: prediction with a map over prediction alone, beside two other libraries.

``python -m benchmarks.explain`` (the extra ``benchmarks`` brings pytorch-grad-cam). All contestants explain the same
network, batch and layer in turns; a row is the median, over the rounds, of the time divided by that of the prediction
in the same round, so that a slow moment of the machine counts for both.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import monai
import torch
from monai.visualize import GradCAM
from torch import Tensor
from tqdm import tqdm

from braintumor_ext.explain import DEFAULT_LAYER, Explainer
from braintumor_ext.networks import BrainTumorNet, HeadView


def contestants(network: BrainTumorNet, images: Tensor) -> dict[str, Callable[[], Any]]:
    """Return what is timed: its name to a call that predicts and explains the batch.

    Args:
        network: the network, in ``eval`` mode.
        images: (B, 3, H, W).
    """

    def predict() -> None:
        with torch.no_grad():
            network(images)

    ours = {
        "Grad-CAM": Explainer(network, "gradcam"),
        "Grad-CAM++": Explainer(network, "gradcam++"),
        "Grad-CAM of the mask": Explainer(network, "gradcam", head="mask"),
        "Grad-CAM, layer encoder.attention3": Explainer(network, "gradcam", "encoder.attention3"),
    }
    found: dict[str, Callable[[], Any]] = {"prediction alone": predict}
    found |= {f"braintumor_ext {name}": partial(explain, images) for name, explain in ours.items()}
    view = HeadView(copy.deepcopy(network), "class").eval()  # a copy: the hooks that it leaves would slow the others
    their = GradCAM(view, f"network.{DEFAULT_LAYER}")  # one class for all: for predicted ones its maps are wrong
    found[f"monai.visualize.GradCAM ({monai.__version__}), one class for all"] = lambda: their(images, class_idx=0)
    try:
        from pytorch_grad_cam import GradCAM as OtherGradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError:
        print("pytorch-grad-cam is not installed: pip install -e '.[benchmarks]'", file=sys.stderr)
        return found
    copied = copy.deepcopy(network)
    other = OtherGradCAM(HeadView(copied, "class").eval(), [copied.get_submodule(DEFAULT_LAYER)])
    targets = [ClassifierOutputTarget(0)] * len(images)
    found["pytorch-grad-cam GradCAM"] = lambda: other(images, targets=targets)
    return found


def measure(calls: dict[str, Callable[[], Any]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return each call's seconds in each round; the first, unmeasured round warms up.

    Args:
        calls: what is timed.
        rounds: how often.
        device: where it runs.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in tqdm(range(rounds + 1), desc="rounds"):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number > 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio_text(times: Sequence[float], reference: Sequence[float]) -> str:
    """Return the median ratio over the rounds, and the least and the most.

    Args:
        times: seconds in each round.
        reference: those of what they are measured by, in the same rounds.
    """
    ratios = [time / of for time, of in zip(times, reference, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image_size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--batch_size", type=int, default=8, help="images at a time")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is timed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.manual_seed(0)
    network: BrainTumorNet = BrainTumorNet().to(memory_format=torch.channels_last).to(device).eval()  # type: ignore[call-overload]
    images = torch.randn(options.batch_size, 3, options.image_size, options.image_size, device=device)
    images = images.to(memory_format=torch.channels_last)
    calls = contestants(network, images)
    seconds = measure(calls, options.rounds, device)
    alone = seconds["prediction alone"]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    print(
        f"{name}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}, batch "
        f"{options.batch_size}, {options.image_size} px, {options.rounds} rounds; prediction alone "
        f"{statistics.median(alone):.3f} s\n"
    )
    print("| prediction and map | over prediction alone (least to most) |\n| --- | --- |")
    for contestant, times in seconds.items():
        print(f"| {contestant} | {ratio_text(times, alone)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
