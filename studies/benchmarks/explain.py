"""What a heat map costs: prediction with a map over prediction alone, beside two other libraries."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import monai
import torch
from monai.visualize import GradCAM
from torch import Tensor

from braintumor_ext.explain import DEFAULT_LAYER, Explainer
from braintumor_ext.networks import BrainTumorNet, HeadView
from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import in_turns, over

ALONE = "prediction alone"


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
    found: dict[str, Callable[[], Any]] = {ALONE: predict}
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
    found["pytorch-grad-cam GradCAM, one class for all"] = lambda: other(images, targets=targets)
    return found


def run(quick: bool) -> list[Table]:
    """Time prediction with a heat map over prediction alone."""
    size, batch = (64, 2) if quick else (224, 8)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    network: BrainTumorNet = BrainTumorNet().to(memory_format=torch.channels_last).to(device).eval()  # type: ignore[call-overload]
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    seconds = in_turns(contestants(network, images), rounds=3 if quick else 7, budget=45, device=device)
    alone = seconds[ALONE]
    rows = [
        Row(
            [name],
            {f"over {ALONE}": over(times, alone), "s": times},
            "at most 1.10" if name == "braintumor_ext Grad-CAM" else "",
        )
        for name, times in seconds.items()
    ]
    method = (
        f"Time of a prediction with a map over that of the prediction alone in the same round: the same network with "
        f"random weights, batch of {batch} images of {size} x {size}, {torch.get_num_threads()} threads, and the layer "
        f"`{DEFAULT_LAYER}` unless named."
    )
    return [Table("map", "What a heat map costs", method, ["prediction and map"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
