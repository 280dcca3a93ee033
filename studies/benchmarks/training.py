"""What mixed precision and the fused AdamW gain in a training step, and what attention costs there."""

from __future__ import annotations

import sys
from functools import partial

import torch

from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import in_turns, over
from studies.benchmarks.training_step import TrainingStep

VARIANTS = {
    "float32, plain AdamW": {"amp": False, "optimizer::fused": False},
    "float32, fused AdamW": {"amp": False, "optimizer::fused": True},
    "mixed precision, fused AdamW": {"amp": True, "optimizer::fused": True},
}
"""The first is what the others are measured by."""


def attention(quick: bool, device: torch.device) -> Table:
    """Time a training step with attention and without."""
    size, batch = (64, 2) if quick else (128, 32)
    with_it, without = "with attention", "without"
    steps = {}
    for name in (with_it, without):
        step = TrainingStep(settings={"network_def::attention": name == with_it})
        steps[name] = partial(step, step.batch(batch, size))
    seconds = in_turns(steps, rounds=3 if quick else 7, budget=20, device=device)
    share = [100 * (1 - ratio) for ratio in over(seconds[without], seconds[with_it])]
    method = (
        f"Attention's share of a training step: 1 - time without / time with, in the same round. Batches of {batch}, "
        f"{size} x {size}, {torch.get_num_threads()} threads, "
        f"{'mixed precision' if step.amp else 'float32'}, `configs/train.json`."
    )
    rows = [
        Row([with_it], {"share of the step, %": share, "s": seconds[with_it]}, "at most 8.00"),
        Row([without], {"share of the step, %": [], "s": seconds[without]}),
    ]
    return Table("attention", "Attention in a training step", method, ["step"], rows)


def precision(quick: bool, device: torch.device) -> Table:
    """Time training steps over the plain one."""
    models, size, batch = (["ours"], 64, 2) if quick else (["ours", "resnet50", "efficientnet_b0"], 128, 8)
    rows = []
    for model in models:
        steps = {}
        for name, settings in VARIANTS.items():
            step = TrainingStep(model, settings)
            steps[name] = partial(step, step.batch(batch, size))
        seconds = in_turns(steps, rounds=3 if quick else 5, budget=10, device=device)
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
    return Table("step", "Precision and update of a training step", method, ["model", "step"], rows)


def run(quick: bool) -> list[Table]:
    """Time a training step in its variants."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    return [precision(quick, device), attention(quick, device)]


if __name__ == "__main__":
    sys.exit(main(run))
