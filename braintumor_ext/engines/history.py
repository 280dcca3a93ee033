"""What is told of a training's epochs: a line on the console, and a table and curves that grow while it runs."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.workflow import Workflow

from braintumor_ext.files import write_csv
from braintumor_ext.keys import IMAGE
from braintumor_ext.plots import plot_training_curves

logger = logging.getLogger(__name__)


class EpochLine:
    """Log each epoch's metrics, whether it is the best so far, learning rate, seconds and slices a second.

    Seconds are the whole epoch's, slices a second the training's alone, of all processes together.
    """

    def __init__(self, evaluator: Workflow) -> None:
        self.evaluator = evaluator
        self._started = self._trained = time.monotonic()
        self._slices = 0
        self._rate = 0.0

    def attach(self, engine: SupervisedTrainer) -> None:
        """Attach to the trainer, after its validation handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, engine: SupervisedTrainer) -> None:
        self._started = self._trained = time.monotonic()
        self._slices = 0
        self._rate = engine.optimizer.param_groups[0]["lr"]

    def _count(self, engine: SupervisedTrainer) -> None:
        self._slices += len(engine.state.batch[IMAGE])
        self._trained = time.monotonic()

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Log the line."""
        now, state, validation = time.monotonic(), engine.state, self.evaluator.state
        key = validation.key_metric_name
        validated = validation.metrics if validation.epoch == state.epoch else {}
        metrics = {**state.metrics, **dict(sorted(validated.items(), key=lambda item: (item[0] != key, item[0])))}
        best = " (best so far)" if validation.best_metric_epoch == state.epoch else ""
        parts = [f"{name} {value:.4f}{best if name == key else ''}" for name, value in metrics.items()]
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        slices = self._slices * (torch.distributed.get_world_size() if distributed else 1)
        speed = slices / max(self._trained - self._started, 1e-9)
        parts += [f"rate {self._rate:.3g}", f"{now - self._started:.1f} s", f"{speed:.1f} slices/s"]
        logger.info("Epoch %d of %d: %s", state.epoch, state.max_epochs, ", ".join(parts))


class TrainingHistory:
    """Collect each epoch's learning rate and metrics; write ``history.csv`` and ``training_curves.png``.

    The table is written after each epoch. The curves are drawn as often as takes no more than a hundredth of the time,
    and at the end.
    """

    def __init__(self, output_dir: str | os.PathLike[str], evaluator: Workflow, rank: int = 0) -> None:
        self.folder, self.evaluator, self.rank = Path(output_dir), evaluator, rank
        self.values: dict[str, list[tuple[int, float]]] = {}
        self._started = time.monotonic()
        self._next_drawing = 0.0
        self._drawn: int | None = None

    def attach(self, engine: SupervisedTrainer) -> None:
        """Attach to the trainer, after its validation handler and before the learning rate's step is of interest."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._draw)

    def _start(self, engine: SupervisedTrainer) -> None:
        self._started = time.monotonic()
        self._append("learning_rate", engine.state.epoch, engine.optimizer.param_groups[0]["lr"])

    def _append(self, name: str, epoch: int, value: Any) -> None:
        entries = self.values.setdefault(name, [])
        if not entries or entries[-1][0] < epoch:
            entries.append((epoch, float(value)))

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Add the epoch and write the files."""
        epoch = engine.state.epoch
        validated = self.evaluator.state.metrics if self.evaluator.state.epoch == epoch else {}
        for name, value in {**engine.state.metrics, **validated}.items():
            self._append(name, epoch, value)
        self._append("seconds", epoch, time.monotonic() - self._started)
        if self.rank == 0:
            self._write_table()
            if time.monotonic() >= self._next_drawing:
                self._draw(engine)

    def _draw(self, engine: SupervisedTrainer) -> None:
        if self.rank == 0 and self._drawn != engine.state.epoch:
            started = time.monotonic()
            curves = {name: entries for name, entries in self.values.items() if name != "seconds"}
            plot_training_curves(curves, self.folder / "training_curves.png")
            self._drawn = engine.state.epoch
            self._next_drawing = started + 100 * (time.monotonic() - started)

    def _write_table(self) -> None:
        epochs = sorted({epoch for entries in self.values.values() for epoch, _ in entries})
        by_name = {name: dict(entries) for name, entries in self.values.items()}
        rows = ([epoch, *(values.get(epoch, "") for values in by_name.values())] for epoch in epochs)
        write_csv(self.folder / "history.csv", [["epoch", *by_name], *rows], "\r\n")

    def state_dict(self) -> dict[str, Any]:
        """Return the history so far, of plain numbers."""
        return {name: [list(entry) for entry in entries] for name, entries in self.values.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the history of a resumed training."""
        self.values = {name: [(int(e), float(v)) for e, v in entries] for name, entries in state.items()}
        self._drawn = max((entries[-1][0] for entries in self.values.values()), default=None)
