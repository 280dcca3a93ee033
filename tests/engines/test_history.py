"""What is told of a training's epochs: the line, the table and the curves."""

from __future__ import annotations

import csv
import logging
import re
import time
from pathlib import Path

import pytest
from PIL import Image

from braintumor_ext.engines import EpochLine, TrainingHistory, TrainingLoss
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


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(folder, scores, epochs, interval=1, rank=0, history=None, first=1, rows=((1.0, 0.0), (0.0, 3.0))):
    evaluator = make_evaluator(scores)
    history_ = TrainingHistory(folder, evaluator, rank)
    if history is not None:
        history_.load_state_dict(history)
    trainer = make_trainer([TrainingLoss(), validating(evaluator, interval), history_], epochs, rows=rows, rate=0.5)
    trainer.state.epoch = first - 1
    trainer.run()
    return history_


def test_each_epoch_has_its_mean_loss_rate_and_metrics(tmp_path):
    run(tmp_path, [0.25, 0.5], 2)
    rows = table(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    # descent along (1, 0) and (0, 3) in turn, rate 0.5: the losses are 0, 0, then -0.5, -4.5
    assert [float(row["train_loss"]) for row in rows] == [0.0, -2.5]
    assert [float(row["learning_rate"]) for row in rows] == [0.5, 0.5]
    assert [float(row["val_score"]) for row in rows] == [0.25, 0.5]
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_epochs_without_validation_have_no_score(tmp_path):
    run(tmp_path, [0.25, 0.5], 4, interval=2)
    assert [row["val_score"] for row in table(tmp_path)] == ["", "0.25", "", "0.5"]


def test_a_resumed_training_goes_on_with_its_history(tmp_path):
    first = run(tmp_path, [0.1, 0.2], 2)
    state = first.state_dict()
    before = table(tmp_path)
    run(tmp_path, [0.3], 3, history=state, first=3)
    rows = table(tmp_path)
    assert rows[:2] == before
    assert [row["val_score"] for row in rows] == ["0.1", "0.2", "0.3"]


def test_the_state_is_of_plain_numbers(tmp_path):
    state = run(tmp_path, [0.1], 1).state_dict()
    assert state["val_score"] == [[1, 0.1]]
    assert {type(v) for entries in state.values() for entry in entries for v in entry} <= {int, float}


def test_curves_are_drawn(tmp_path):
    run(tmp_path, [0.1, 0.2], 2)
    with Image.open(tmp_path / "training_curves.png") as picture:
        assert min(picture.size) > 200


def test_curves_are_drawn_seldom_and_at_the_end(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "braintumor_ext.engines.history.plot_training_curves",
        lambda curves, path: (time.sleep(0.05), drawn.append(len(curves["val_score"]))),
    )
    run(tmp_path, [0.1] * 6, 6)  # of a few milliseconds each
    assert drawn == [1, 6]


@pytest.mark.parametrize("rank", [1, 3])
def test_other_processes_write_nothing(tmp_path, rank):
    history = run(tmp_path / "out", [0.1], 1, rank=rank)
    assert not (tmp_path / "out").exists()
    assert history.state_dict()["val_score"] == [[1, 0.1]]
