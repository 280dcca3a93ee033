"""The line that each epoch writes."""

from __future__ import annotations

import logging
import re

from braintumor_ext.engines import EpochLine, TrainingLoss
from tests.engines.trainers import make_evaluator, make_trainer, validating


def lines(caplog, scores, epochs, interval=1):
    evaluator = make_evaluator(scores)
    handlers = [TrainingLoss(), validating(evaluator, interval), EpochLine(evaluator)]
    with caplog.at_level(logging.INFO, "braintumor_ext"):
        make_trainer(handlers, epochs, rows=((1.0, 0.0), (0.0, 3.0)), rate=0.5).run()
    return [record.getMessage() for record in caplog.records if record.name.startswith("braintumor_ext")]


def test_each_epoch_is_told_in_one_line(caplog):
    first, second = lines(caplog, [0.5, 0.25], 2)
    told = "Epoch 1 of 2: train_loss 0.0000, val_score 0.5000 (best so far), rate 0.5, "
    assert re.fullmatch(re.escape(told) + r"\d+\.\d s, \d+\.\d slices/s", first)
    assert second.startswith("Epoch 2 of 2: train_loss -2.5000, val_score 0.2500, rate 0.5, ")


def test_an_epoch_without_validation_tells_no_score(caplog):
    told = lines(caplog, [0.5], 3, interval=2)
    assert ["val_score" in line for line in told] == [False, True, False]
