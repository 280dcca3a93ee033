"""When a training validates, and when it stops since that shows nothing better."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events
from monai.engines.workflow import Workflow
from monai.handlers import ValidationHandler


class ValidateEvery(ValidationHandler):
    """MONAI's ``ValidationHandler``, which validates after the last epoch too, whatever the interval in epochs.

    Else a training shorter than the interval would end without a ``model.pt``, and a longer one without having looked
    at its last epochs.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer."""

        def is_due(engine: Engine, epoch: int) -> bool:
            return epoch % self.interval == 0 or epoch == engine.state.max_epochs

        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=is_due), self)


logger = logging.getLogger(__name__)


class EarlyStopping:
    """Stop the trainer when ``patience`` epochs brought no better key metric.

    Patience counts the trainer's epochs, however rarely it validates. All that it knows stands in the evaluator's
    ``best_metric_epoch``, so a resumed training needs nothing more.

    Args:
        patience: number of epochs; 0 or less never stops.
    """

    def __init__(self, evaluator: Workflow, patience: int = 10) -> None:
        self.evaluator, self.patience = evaluator, patience

    def attach(self, engine: Workflow) -> None:
        """Attach to the trainer, after its validation handler."""
        engine.add_event_handler(Events.STARTED, self)  # a training that was stopped is not resumed for one more epoch
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        """Stop the trainer if it is time."""
        best = self.evaluator.state.best_metric_epoch
        waited = engine.state.epoch - best
        if 0 < self.patience <= waited and best >= 0:
            logger.info("Stopping: no better %s for %d epochs.", self.evaluator.state.key_metric_name, waited)
            engine.terminate()
