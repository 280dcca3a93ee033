"""What mixed precision and the fused AdamW gain: time of a training step over that without them, in turns.

``python -m benchmarks.training``. Network, loss and optimizer are those of ``configs/train.json`` and its overlays; a
step is forward, loss, backward, clipping and update of one random batch. Without a GPU, mixed precision is bfloat16.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from benchmarks.explain import measure, ratio_text
from braintumor_ext.comparison import choose_models
from braintumor_ext.engines.run_context import hardware

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = {
    "float32, plain AdamW": {"amp": False, "optimizer::fused": False},
    "float32, fused AdamW": {"amp": False, "optimizer::fused": True},
    "mixed precision, fused AdamW": {"amp": True, "optimizer::fused": True},
}
"""The first is what the others are measured by."""


def training_step(model: str, size: int, batch_size: int, overrides: dict[str, Any]) -> Callable[[], None]:
    """Return a call that makes one step of a model's training on a random batch.

    Args:
        model: ``ours``, or an overlay's name.
        size: side of the images in pixels.
        batch_size: images at a time.
        overrides: ids of the config and their values.
    """
    (config,) = choose_models(ROOT, [model])
    parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in config.config_files]))
    for name, value in {"bundle_root": str(ROOT), **overrides}.items():
        parser[name] = value
    network, loss, optimizer = (parser.get_parsed_content(name) for name in ("network", "loss", "optimizer"))
    device = next(network.parameters()).device
    images = torch.randn(batch_size, 3, size, size, device=device).to(memory_format=torch.channels_last)
    truth = {
        "class": torch.randint(0, 4, (batch_size,), device=device),
        "label": (torch.rand(batch_size, 1, size, size, device=device) > 0.9).float(),
    }
    kind = torch.float16 if device.type == "cuda" else torch.bfloat16
    scaler = torch.amp.GradScaler(device.type, enabled=overrides["amp"] and device.type == "cuda")
    network.train()

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=kind, enabled=overrides["amp"]):
            answer = network(images)
        value = loss({name: logits.float() for name, logits in answer.items()}, truth)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    return step


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["ours", "resnet50", "vgg16", "efficientnet_b0"])
    parser.add_argument("--image_size", type=int, default=128, help="side of the images in pixels")
    parser.add_argument("--batch_size", type=int, default=32, help="images at a time")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for model in options.models:
        make = partial(training_step, model, options.image_size, options.batch_size)
        seconds = measure({name: make(overrides) for name, overrides in VARIANTS.items()}, options.rounds, device)
        plain = next(iter(seconds.values()))
        for name, times in seconds.items():
            rows.append(f"| {model} | {name} | {ratio_text(times, plain)} | {statistics.median(times):.2f} |")
    print(
        f"{hardware()}, {options.threads} of {os.cpu_count()} cores, torch {torch.__version__}, batches of "
        f"{options.batch_size}, {options.image_size} px, {options.rounds} rounds\n"
    )
    print("| model | step | over the plain one (least to most) | seconds |\n| --- | --- | --- | --- |")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
