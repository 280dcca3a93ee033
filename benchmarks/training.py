"""What mixed precision and the fused AdamW gain: time of a training step over that without them."""

from __future__ import annotations

import sys
from functools import partial

import torch

from benchmarks.command import main
from benchmarks.record import Row, Table
from benchmarks.timing import in_turns, over
from benchmarks.training_step import TrainingStep

VARIANTS = {
    "float32, plain AdamW": {"amp": False, "optimizer::fused": False},
    "float32, fused AdamW": {"amp": False, "optimizer::fused": True},
    "mixed precision, fused AdamW": {"amp": True, "optimizer::fused": True},
}
"""The first is what the others are measured by."""


def run(quick: bool) -> list[Table]:
    """Time training steps over the plain one."""
    models, size, batch = (["ours"], 64, 2) if quick else (["ours", "resnet50", "efficientnet_b0"], 128, 16)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    rows = []
    for model in models:
        steps = {}
        for name, settings in VARIANTS.items():
            step = TrainingStep(model, settings)
            steps[name] = partial(step, step.batch(batch, size))
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
