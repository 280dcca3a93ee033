"""The mean loss of an epoch, and the end of a training that has diverged."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Events
from monai.handlers import from_engine

from braintumor_ext.engines import TrainingLoss
from braintumor_ext.errors import InputError
from tests.engines.trainers import Weigh, make_evaluator, make_trainer, validating

ROWS = ((1.0, 0.0), (0.0, 3.0))


def test_it_is_the_mean_of_each_epochs_steps():
    # descent along (1, 0) and (0, 3) in turn, rate 0.5: the losses are 0, 0, then -0.5, -4.5
    means = []
    trainer = make_trainer([TrainingLoss()], 2, rows=ROWS, rate=0.5)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: means.append(engine.state.metrics["train_loss"]))
    trainer.run()
    assert means == [0.0, -2.5]


def test_handlers_of_monais_kind_read_the_loss_of_a_step():
    losses = []
    trainer = make_trainer([TrainingLoss()], 2, rows=ROWS, rate=0.5)
    read = from_engine(["loss"], first=True)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(read(engine.state.output)))
    trainer.run()
    assert torch.stack(losses).tolist() == [0.0, 0.0, -0.5, -4.5]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_training_before_the_epoch_is_validated(value):
    network = Weigh()
    evaluator = make_evaluator([0.1, 0.2, 0.3], network)
    trainer = make_trainer([TrainingLoss(), validating(evaluator)], 3, rows=ROWS, network=network, rate=0.01)

    @trainer.on(Events.ITERATION_STARTED(once=3))  # the first of the second epoch
    def spoil(engine):
        with torch.no_grad():
            network.weight.fill_(value)

    with pytest.raises(
        InputError, match=r"epoch 2 .*: the loss is not finite \((nan|inf)\)\. Go on from epoch 1 \(--res"
    ):
        trainer.run()
    assert trainer.state.epoch == 2
    assert evaluator.state.epoch == 1


def test_weights_that_the_last_step_has_spoilt_end_the_training():
    network = Weigh()
    trainer = make_trainer([TrainingLoss()], 1, rows=ROWS, network=network)

    @trainer.on(Events.ITERATION_COMPLETED(once=2))
    def spoil(engine):
        with torch.no_grad():
            network.weight[0] = math.nan

    with pytest.raises(
        InputError, match=r"epoch 1 .*: the weights are not finite\. Start again with a lower --learning"
    ):
        trainer.run()
