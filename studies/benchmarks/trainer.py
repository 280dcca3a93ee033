"""What the engine costs: SupervisedTrainer with the bundle's handlers beside a bare loop, and an epoch's overhead."""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow
from monai.engines import SupervisedTrainer

from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.data.prepare import prepare
from braintumor_ext.engines import TrainingFiles
from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import over
from studies.benchmarks.training_step import ROOT, TrainingStep

PUBLISHED_SLICES = 2009
"""The published protocol's training slices: an epoch's overhead is told as its share of an epoch of these."""


class Turns:
    """Times each epoch of a trainer, and one of a bare loop over the same slices after it.

    Training goes on beside the writing of an epoch's checkpoint; here it is waited for, before the bare epoch, so that
    it slows neither loop and is timed by itself.

    Args:
        trainer: the bundle's trainer.
        evaluator: its validation, whose network's time is no overhead.
        files: its checkpoints.
        bare: a network, loss, optimizer and batch preparation of its own.
    """

    def __init__(self, trainer: SupervisedTrainer, evaluator: Engine, files: TrainingFiles, bare: TrainingStep) -> None:
        self.bare, self.files, self.loader = bare, files, trainer.data_loader
        self.steps: list[float] = []
        self.loop: list[float] = []
        self.overhead: list[float] = []
        self.writing: list[float] = []
        self._pending = 0.0
        self._validated = 0.0
        trainer.add_event_handler(Events.EPOCH_STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stepped)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._take_turn)
        evaluator.add_event_handler(Events.GET_BATCH_STARTED, self._validation_begins)
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._validation_ends)

    def _begin(self) -> None:
        self._begun = time.perf_counter()
        if self.loop:
            self.overhead.append(self._pending + self._begun - self._resumed)

    def _stepped(self) -> None:
        self._last = time.perf_counter()

    def _validation_begins(self) -> None:
        self._batch = time.perf_counter()

    def _validation_ends(self) -> None:
        self._validated += time.perf_counter() - self._batch

    def _take_turn(self) -> None:
        self.steps.append(self._last - self._begun)
        ended = time.perf_counter()
        self._pending = ended - self._last - self._validated
        self.files.finish()
        started = time.perf_counter()
        self.writing.append(started - ended)
        for batch in self.loader:
            self.bare(self.bare.prepare(batch, self.bare.device))
        if self.bare.device.type == "cuda":
            torch.cuda.synchronize()
        self._resumed = time.perf_counter()
        self.loop.append(self._resumed - started)
        self._validated = 0.0


def turns(folder: Path, quick: bool) -> tuple[Turns, int]:
    """Train for some epochs on drawn slices; return the times and how many slices an epoch has.

    Args:
        folder: an empty folder for the data set and what the training writes.
        quick: whether to make it small.
    """
    size, batch, repeats, epochs = (64, 4, 1, 3) if quick else (128, 32, 8, 6)
    make_phantoms(folder / "drawn", heads=16, slices_per_head=2, progress=False)
    prepare(
        folder / "drawn",
        folder / "data",
        masks=folder / "drawn" / "masks",
        groups=folder / "drawn" / "groups.csv",
    )
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "train.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(ROOT),
        dataset_dir=str(folder / "data"),
        ckpt_dir=str(folder / "models"),
        output_dir=str(folder / "out"),
        pipeline="fast",
        image_size=size,
        batch_size=batch,
        num_workers=0,
        pretrained=False,
        epochs=epochs,
        patience=0,
    )
    workflow.initialize()
    parser = workflow.parser
    items = parser.get_parsed_content("train::dataset::data")
    parser["train::dataset::data"] = [dict(item) for item in items] * repeats
    trainer = parser.get_parsed_content("train::trainer")
    evaluator = parser.get_parsed_content("validate::evaluator")
    handlers = parser.get_parsed_content("train::handlers")
    files = next(handler for handler in handlers if isinstance(handler, TrainingFiles))
    found = Turns(trainer, evaluator, files, TrainingStep(settings={"image_size": size}))
    workflow.run()
    return found, len(items) * repeats


def run(quick: bool) -> list[Table]:
    """Time epochs of the trainer and of a bare loop in turns."""
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        found, slices = turns(Path(scratch), quick)
    steps, loop = found.steps[1:], found.loop[1:]  # the first epoch warms up
    trainer_rate, loop_rate = ([slices / s for s in times] for times in (steps, loop))
    epoch = PUBLISHED_SLICES / statistics.median(trainer_rate)
    rows = [
        Row(
            ["SupervisedTrainer"],
            {"speed over the bare loop's": over(trainer_rate, loop_rate), "slices/s": trainer_rate},
            "at least 0.97",
        ),
        Row(["bare loop"], {"speed over the bare loop's": over(loop_rate, loop_rate), "slices/s": loop_rate}),
    ]
    method = (
        f"Epochs of {slices} slices in turns, with the same batches, augmentation, network, loss, clipping and update: "
        "those of `configs/train.json` with the fast pipeline."
    )
    beside = [
        Row([name], {"share, %": [100 * s / (s + epoch) for s in seconds], "s": seconds}, aim)
        for name, seconds, aim in (
            ("between two epochs", found.overhead[1:], "at most 3.00"),
            ("writing the checkpoint", found.writing[1:], "at most 2.00"),
        )
    ]
    told = (
        "All between the last step of an epoch and the first of the next, without the validation's batches: metrics, "
        "lines, curves, the start of the checkpoint. The writing itself goes on beside the next epoch and is waited "
        f"for here. As a share of an epoch of {PUBLISHED_SLICES:,} slices at the trainer's speed."
    )
    return [
        Table("loop", "The engine beside a bare loop", method, ["loop"], rows),
        Table("overhead", "What an epoch costs beside the network", told, ["what"], beside),
    ]


if __name__ == "__main__":
    sys.exit(main(run))
