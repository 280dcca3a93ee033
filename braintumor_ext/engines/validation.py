"""When a training validates."""

from __future__ import annotations

from ignite.engine import Engine, Events
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
