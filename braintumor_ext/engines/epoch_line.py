"""One line on the console for each epoch of a training."""

from __future__ import annotations

import logging
import time

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.workflow import Workflow

from braintumor_ext.keys import IMAGE

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
