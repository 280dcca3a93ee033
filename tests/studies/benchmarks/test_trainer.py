"""What an epoch costs beside the network: all but its steps, its validation's batches and the bare loop's turn."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from studies.benchmarks.trainer import Turns


def test_the_overhead_is_what_is_neither_step_nor_validation_nor_turn():
    """By sleeps of known length; an overhead of 0.06 s can't hide one of 0.4 s."""
    trainer = Engine(lambda engine, batch: time.sleep(0.02))
    trainer.data_loader = [0, 1]
    evaluator = Engine(lambda engine, batch: time.sleep(0.4))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: time.sleep(0.03))  # the lines and curves before
    seen = []

    def bare(batch):
        seen.append(batch)
        time.sleep(0.4)

    bare.prepare, bare.device = lambda batch, device: batch, torch.device("cpu")
    files = SimpleNamespace(finish=lambda: time.sleep(0.1))
    found = Turns(trainer, evaluator, files, bare)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: time.sleep(0.03))  # what comes after the turn
    trainer.run(trainer.data_loader, max_epochs=3)
    assert seen == [0, 1] * 3
    assert [len(times) for times in (found.steps, found.loop, found.overhead, found.writing)] == [3, 3, 2, 3]
    assert found.steps == pytest.approx([0.04] * 3, abs=0.3)
    assert all(0.06 <= seconds < 0.4 for seconds in found.overhead)
    assert all(0.1 <= seconds < 0.4 for seconds in found.writing)
    assert all(seconds >= 0.8 for seconds in found.loop)
