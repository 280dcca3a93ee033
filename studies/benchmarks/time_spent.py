"""Where the time goes: a training step and a prediction by kind of operation."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.training_step import TrainingStep

KINDS = {
    "convolution": ("conv",),
    "normalisation": ("batch_norm", "group_norm"),
    "matrix product": ("addmm", "mm", "bmm", "linear", "matmul"),
    "pooling and means": ("pool", "mean", "amax", "max", "sum"),
    "resizing": ("upsample", "interpolate"),
    "copies between types and layouts": ("copy", "to", "contiguous", "clone", "cat"),
    "update and clipping": ("adam", "foreach"),
}
"""A kind to parts of its operations' names; the first kind that fits is it."""
REST = "element-wise and the rest"


def kind_of(operation: str) -> str:
    """Return the kind of an operation, such as ``aten::mkldnn_convolution``."""
    name = operation.lower().removeprefix("aten::")
    words = name.strip("_").split("_")
    for kind, parts in KINDS.items():
        if any(part in name if len(part) > 3 else part in words for part in parts):
            return kind
    return REST


def shares(call: Callable[[], Any], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Return each kind's share of a call's time in percent, in each of some repeats after a first one.

    Args:
        call: what is profiled.
        repeats: how often.
        device: where it computes: on CUDA the kernels' time counts, on a CPU that of the operations themselves.
    """
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * cuda]
    found: dict[str, list[float]] = {kind: [] for kind in (*KINDS, REST)}
    call()
    for _ in range(repeats):
        with profile(activities=activities, acc_events=True) as profiler:
            call()
        spent: Counter[str] = Counter()
        for event in profiler.key_averages():
            spent[kind_of(event.key)] += event.self_device_time_total if cuda else event.self_cpu_time_total
        for kind, percents in found.items():
            percents.append(100 * spent[kind] / max(spent.total(), 1))
    return found


def run(quick: bool) -> list[Table]:
    """Profile a training step in both precisions and a prediction."""
    size, batch = (64, 2) if quick else (128, 16)
    torch.manual_seed(0)
    found: dict[str, dict[str, list[float]]] = {}
    for name, amp in (("training step, mixed precision", True), ("training step, float32", False)):
        step = TrainingStep(settings={"amp": amp})
        data = step.batch(batch, size)
        found[name] = shares(partial(step, data), 3, step.device)
    step.network.eval()
    with torch.inference_mode():
        found["prediction, float32"] = shares(partial(step.network, data[0]), 3, step.device)
    rows = [Row([kind], {f"{name}, %": of[kind] for name, of in found.items()}) for kind in (*KINDS, REST)]
    method = (
        f"Share of the time by kind of operation, from torch.profiler. Batch of {batch} images of {size} x {size}, "
        f"{torch.get_num_threads()} threads; the training step is that of `configs/train.json`."
    )
    return [Table("kinds", "Where the time goes", method, ["kind of operation"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
