"""When a training validates, and when it stops."""

from __future__ import annotations

import pytest
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator

from braintumor_ext.engines import EarlyStopping, ValidateEvery
from tests.engines.trainers import make_evaluator, make_trainer, validating


class Validator(SupervisedEvaluator):
    """Notes the epochs that it is asked to validate."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(self, global_epoch: int = 1) -> None:
        self.asked.append(global_epoch)


@pytest.mark.parametrize(
    ("epochs", "interval", "expected"),
    [(6, 2, [2, 4, 6]), (7, 3, [3, 6, 7]), (4, 7, [4]), (1, 1, [1]), (3, 1, [1, 2, 3])],
)
def test_every_so_many_epochs_and_after_the_last(epochs, interval, expected):
    validator, engine = Validator(), Engine(lambda *_: None)
    ValidateEvery(interval, validator).attach(engine)
    engine.run([0], max_epochs=epochs)
    assert validator.asked == expected


def last_epoch(scores, patience, interval=1, epochs=30, start=None):
    """Train while validations score as told; return the last epoch."""
    evaluator = make_evaluator([*scores, *[0.0] * epochs])
    trainer = make_trainer([validating(evaluator, interval), EarlyStopping(evaluator, patience)], epochs)
    if start is not None:
        trainer.state.epoch, evaluator.state.best_metric, evaluator.state.best_metric_epoch = start
    trainer.run()
    return trainer.state.epoch


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        ([0.5], 3, 4),  # the best is epoch 1; 2, 3 and 4 are no better
        ([0.1, 0.5, 0.4, 0.4, 0.6, 0.2], 3, 8),  # a better one in time
        ([0.1, 0.2, 0.3, 0.3, 0.3, 0.9], 3, 6 + 3),  # an equal one is no better, but 6 is in time
        ([0.1, 0.2, 0.2, 0.2, 0.2, 0.9], 3, 5),  # 6 would have been too late
        ([0.5], 10, 11),
    ],
)
def test_it_waits_for_as_many_epochs_as_told(scores, patience, expected):
    assert last_epoch(scores, patience) == expected


@pytest.mark.parametrize(
    ("scores", "expected"),
    # validated at the epochs 3, 6, 9, ...: ten epochs after the best, not ten validations
    [([0.5], 13), ([0.1, 0.2], 16), ([0.1, 0.1, 0.1, 0.2], 12 + 10)],
)
def test_patience_counts_epochs_where_every_third_is_validated(scores, expected):
    assert last_epoch(scores, 10, interval=3) == expected


def test_no_patience_never_stops():
    assert last_epoch([0.5], 0, epochs=15) == 15


def test_a_training_that_gets_better_runs_to_its_end():
    assert last_epoch([i / 100 for i in range(20)], 1, epochs=20) == 20


def test_before_the_first_validation_nothing_is_stopped():
    assert last_epoch([], 1, interval=30, epochs=20) == 20


def test_a_resumed_training_has_already_waited():
    # resumed after epoch 9 with the best at epoch 7
    assert last_epoch([0.1] * 5, 4, start=(9, 0.5, 7)) == 11
