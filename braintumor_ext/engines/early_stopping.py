"""Stopping a training that no longer gets better."""

from __future__ import annotations

import logging

from ignite.engine import Events
from monai.engines.workflow import Workflow

logger = logging.getLogger(__name__)


class EarlyStopping:
    """Stop the trainer when ``patience`` epochs brought no better key metric.

    Patience counts the trainer's epochs, however rarely it validates. All that it knows stands in the evaluator's
    ``best_metric_epoch``, so a resumed training needs nothing more.

    Args:
        evaluator: the validation's engine.
        patience: number of epochs; 0 or less never stops.
    """

    def __init__(self, evaluator: Workflow, patience: int = 10) -> None:
        self.evaluator = evaluator
        self.patience = patience

    def attach(self, engine: Workflow) -> None:
        """Attach to the trainer, after its validation handler."""
        engine.add_event_handler(Events.STARTED, self)  # a training that was stopped is not resumed for one more epoch
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        """Stop the trainer if it is time."""
        best = self.evaluator.state.best_metric_epoch
        if self.patience <= 0 or best < 0:
            return
        waited = engine.state.epoch - best
        if waited >= self.patience:
            logger.info("Stopping: no better %s for %d epochs.", self.evaluator.state.key_metric_name, waited)
            engine.terminate()
