"""How cost grows with image size, batch and number of slices."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from torch import Tensor

from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.networks import BrainTumorNet
from studies.benchmarks.command import main
from studies.benchmarks.record import Curve, Row, Table
from studies.benchmarks.timing import in_turns
from studies.benchmarks.training_step import ROOT, TrainingStep

PASSES = ("training step", "prediction")


def passes(settings: Sequence[tuple[int, int]]) -> dict[tuple[str, int, int], Callable[[], Any]]:
    """Return what is timed: (pass, size, batch) to a call.

    Args:
        settings: sizes in pixels and batches.
    """
    step = TrainingStep()
    network: BrainTumorNet = BrainTumorNet().to(memory_format=torch.channels_last).to(step.device).eval()  # type: ignore[call-overload]

    def predict(images: Tensor) -> None:
        with torch.inference_mode():
            network(images)

    calls: dict[tuple[str, int, int], Callable[[], Any]] = {}
    for size, batch in settings:
        data = step.batch(batch, size)
        calls[PASSES[0], size, batch] = partial(step, data)
        calls[PASSES[1], size, batch] = partial(predict, data[0])
    return calls


def cost_of_the_network(quick: bool) -> list[Table]:
    """Return how a training step and a prediction grow with image size and batch."""
    sizes, one_batch = ((64, 96), 2) if quick else ((64, 96, 128, 160, 192, 224), 8)
    batches, one_size = ((1, 2), 64) if quick else ((1, 2, 4, 8, 16, 32), 128)
    settings = dict.fromkeys([*((size, one_batch) for size in sizes), *((one_size, batch) for batch in batches)])
    calls = passes(list(settings))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    names = {str(key): key for key in calls}
    timed = in_turns(dict(zip(names, calls.values(), strict=True)), 3 if quick else 5, budget=40, device=device)
    each = {key: [1000 * s / key[2] for s in timed[name]] for name, key in names.items()}
    precision = "bfloat16" if TrainingStep().amp else "float32"
    how = (
        f"The training step is forward, loss, backward, clipping and update as `configs/train.json` has it "
        f"({precision}); the prediction is the forward pass in float32, eager PyTorch. "
        f"{torch.get_num_threads()} threads, random images."
    )
    by_size = [Row([p, size], {"ms a slice": each[p, size, one_batch]}) for p in PASSES for size in sizes]
    by_batch = [Row([p, batch], {"ms a slice": each[p, one_size, batch]}) for p in PASSES for batch in batches]
    return [
        Table(
            "image_size",
            "Cost by image size",
            f"Time a slice in batches of {one_batch}. {how}",
            ["pass", "image size"],
            by_size,
            Curve("image size", "ms a slice"),
        ),
        Table(
            "batch",
            "Cost by batch",
            f"Time a slice at {one_size} x {one_size}. {how}",
            ["pass", "batch"],
            by_batch,
            Curve("batch", "ms a slice"),
        ),
    ]


def inference_run(folder: Path, output: Path) -> None:
    """Run ``configs/inference.json`` with the released checkpoint, as ``monai.bundle run`` does.

    Args:
        folder: the slices.
        output: where the predictions go; an earlier one is removed.
    """
    shutil.rmtree(output, ignore_errors=True)
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "inference.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(ROOT),
        dataset_dir=str(folder),
        output_dir=str(output),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def cost_of_a_folder(quick: bool) -> Table:
    """Return how an inference run over a folder grows with the number of its slices."""
    counts = (2, 4) if quick else (4, 16, 64)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        make_phantoms(root / "drawn", heads=4 if quick else 8, slices_per_head=4, progress=False)
        drawn = sorted((root / "drawn" / "Training").rglob("*.png"))
        for count in counts:
            folder = root / f"{count}"
            folder.mkdir()
            for number in range(count):
                shutil.copyfile(drawn[number % len(drawn)], folder / f"{number:04}.png")
        calls = {str(count): partial(inference_run, root / f"{count}", root / "predictions") for count in counts}
        timed = in_turns(calls, 3, budget=0)
    rows = [
        Row(["whole run", count], {"s": timed[str(count)], "ms a slice": [1000 * s / count for s in timed[str(count)]]})
        for count in counts
    ]
    method = (
        "`configs/inference.json` as it is (released checkpoint; table, masks, overlays with Grad-CAM, report) over "
        f"folders of drawn slices, without the start of Python. {torch.get_num_threads()} threads."
    )
    return Table("slices", "Cost by number of slices", method, ["", "slices"], rows, Curve("slices", "s"))


def run(quick: bool) -> list[Table]:
    """Time training steps, predictions and inference runs of growing size."""
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    return [*cost_of_the_network(quick), cost_of_a_folder(quick)]


if __name__ == "__main__":
    sys.exit(main(run))
