"""The mean loss of each epoch, and the end of a training that has diverged."""

from __future__ import annotations

import math

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch.nn.utils import get_total_norm

from braintumor_ext.errors import InputError


class TrainingLoss:
    """Put each epoch's mean loss over all steps and processes into the trainer's metrics, as ``train_loss``.

    The loss is summed where it is computed and read once an epoch, so that no step waits for the device. Attach it
    before the validation, to a trainer made with ``decollate=False``: MONAI's decollation reads every value of each
    batch. What is left of a step's output is a list of one dictionary with the loss, which
    ``from_engine(["loss"], first=True)`` reads, as MONAI's tracking handlers do; images and predictions are freed.

    Raises:
        InputError: at the end of an epoch, when its loss or the weights are not finite. It is neither validated nor
            saved: the files are those of the epoch before.
    """

    def __init__(self) -> None:
        self._sum = torch.zeros(())
        self._steps = 0

    def attach(self, engine: SupervisedTrainer) -> None:
        """Attach to the trainer, before its validation handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._add)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self._keep_the_loss_alone)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, engine: SupervisedTrainer) -> None:
        self._sum = torch.zeros((), dtype=torch.float64, device=engine.state.device)
        self._steps = 0

    def _add(self, engine: SupervisedTrainer) -> None:
        self._sum += engine.state.output["loss"].detach()
        self._steps += 1

    def _keep_the_loss_alone(self, engine: SupervisedTrainer) -> None:
        engine.state.output = [{"loss": engine.state.output["loss"].detach()}]

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Take the mean, and see that it and the weights are finite."""
        parameters = [p.detach() for group in engine.optimizer.param_groups for p in group["params"]]
        totals = torch.stack([self._sum, torch.full_like(self._sum, self._steps)])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(totals)
        total, steps, norm = [*totals.tolist(), float(get_total_norm(parameters))]
        loss = total / max(steps, 1)
        if not math.isfinite(loss + norm):
            epoch = engine.state.epoch
            what = f"the loss is not finite ({loss})" if not math.isfinite(loss) else "the weights are not finite"
            begin = f"Go on from epoch {epoch - 1} (--resume true)" if epoch > 1 else "Start again"
            rate = engine.optimizer.param_groups[0]["lr"]
            remedy = f"{begin} with a lower --learning_rate (this epoch's rate was {rate:.3g}) or with --amp false"
            raise InputError(f"epoch {epoch} of the training", what, remedy)
        engine.state.metrics["train_loss"] = loss
