"""What mixed precision and the fused AdamW gain: time of a training step over that without them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from benchmarks.command import main
from benchmarks.record import Row, Table
from benchmarks.timing import in_turns, over
from braintumor_ext.comparison import choose_models

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


def run(quick: bool) -> list[Table]:
    """Time training steps over the plain one."""
    models, size, batch = (["ours"], 64, 2) if quick else (["ours", "resnet50", "efficientnet_b0"], 128, 16)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    rows = []
    for model in models:
        steps = {name: training_step(model, size, batch, overrides) for name, overrides in VARIANTS.items()}
        seconds = in_turns(steps, rounds=3 if quick else 5, budget=25, device=device)
        plain = next(iter(seconds.values()))
        rows += [
            Row([model, name], {f"over {next(iter(VARIANTS))}": over(times, plain), "s": times})
            for name, times in seconds.items()
        ]
    kind = "float16" if device.type == "cuda" else "bfloat16"
    method = (
        f"Time of a step (forward, loss, backward, clipping, update) over that in float32 with the plain AdamW in "
        f"the same round. Batches of {batch}, {size} x {size}, {torch.get_num_threads()} threads; network, loss and "
        f"optimizer of `configs/train.json` and its overlays; mixed precision is {kind}."
    )
    return [Table("step", "Precision and update of a training step", method, ["model", "step"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
