"""Weak scaling: a training step by two processes over one by a single process, with as many slices for each."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import over
from studies.benchmarks.training_step import ROOT, TrainingStep

ALONE, APART, TOGETHER = "one process", "two processes that exchange nothing", "two processes"
OVERLAY = ROOT / "configs" / "multi_gpu_train.json"


def work(rank: int, folder: str, size: int, batch: int, rounds: int) -> None:
    """Time the steps in turns, as one of two processes of one thread; the first writes the seconds.

    Args:
        rank: 0 or 1.
        folder: where the processes meet, and where ``seconds.json`` goes.
        size: side of the images in pixels.
        batch: slices for each process.
        rounds: how often each is timed; a first round is not counted.
    """
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    plain = TrainingStep(settings={"device": "cpu"})
    shared = TrainingStep(settings={"device": "cpu"}, overlays=[OVERLAY])
    by_itself = plain.with_fast_pipeline(batch, size)
    calls: dict[str, Callable[[], None]] = {
        ALONE: by_itself if rank == 0 else lambda: None,  # the other waits at the barrier
        APART: by_itself,
        TOGETHER: shared.with_fast_pipeline(batch, size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            dist.barrier()
            started = time.perf_counter()
            call()
            dist.barrier()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    if rank == 0:
        (Path(folder) / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    dist.destroy_process_group()


def run(quick: bool) -> list[Table]:
    """Time the training step of one and of two processes of one thread each."""
    size, batch, rounds = (64, 2, 3) if quick else (128, 32, 3)
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (folder, size, batch, rounds), nprocs=2)
        seconds = json.loads((Path(folder) / "seconds.json").read_text(encoding="utf-8"))
    rows = [
        Row(
            [name, processes],
            {
                "of one process's speed": over(seconds[ALONE], seconds[name]),
                "slices/s": [processes * batch / s for s in seconds[name]],
                "s a step": seconds[name],
            },
            "at least 0.90" if name == TOGETHER else "",
        )
        for name, processes in ((ALONE, 1), (APART, 2), (TOGETHER, 2))
    ]
    method = (
        f"A step of `configs/train.json` with the fast pipeline, augmentation included, on {batch} slices of "
        f"{size} x {size} for each process, one thread a process, gloo. The first row has the other core idle; the "
        "second tells what sharing the memory costs, the third adds the averaging of the gradients "
        "(`DistributedDataParallel`, every value in float32)."
    )
    return [Table("training", "One and two processes", method, ["", "processes"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
