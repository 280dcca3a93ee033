"""When a training validates."""

from __future__ import annotations

import pytest
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator

from braintumor_ext.engines import ValidateEvery


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
