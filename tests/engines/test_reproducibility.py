"""Random numbers that depend on the seed and the epoch alone."""

from __future__ import annotations

import random

import monai
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import CacheDataset
from monai.transforms import Compose, RandGaussianNoised

from braintumor_ext.engines import SeedEachEpoch
from tests.engines.trainers import make_trainer


@pytest.fixture(autouse=True)
def _global_state():
    yield
    monai.utils.set_determinism(seed=None)


def drawn(seed=1, epochs=3, first=1, rank=0, disturb=False):
    """What random numbers each epoch of a training sees: epoch -> numbers."""
    transform = Compose([RandGaussianNoised(keys="image", prob=1.0)])
    dataset = CacheDataset([{"image": torch.zeros(1, 2)}] * 2, transform, progress=False)
    seen = {}

    class Draw:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

        def __call__(self, engine):
            if disturb:
                random.random()
            numbers = [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002
            seen[engine.state.epoch] = [*numbers, *(float(item["image"][0, 0]) for item in dataset)]

    trainer = make_trainer([SeedEachEpoch(seed, dataset, rank), Draw()], epochs)
    trainer.state.epoch = first - 1
    trainer.run()
    return seen


def test_the_same_seed_draws_the_same():
    assert drawn() == drawn()


def test_an_epoch_draws_the_same_whatever_came_before():
    assert drawn(first=3)[3] == drawn()[3] == drawn(epochs=5)[3]
    assert drawn(disturb=True)[2][1:] == drawn()[2][1:]


def test_epochs_seeds_and_processes_draw_differently():
    numbers = [drawn()[1], drawn()[2], drawn()[3], drawn(seed=2)[1], drawn(rank=1)[1]]
    for column in zip(*numbers, strict=True):  # each source of random numbers
        assert len(set(column)) == len(numbers)


def test_items_of_one_epoch_draw_differently():
    one = drawn()[1]
    assert one[-1] != one[-2]


def test_large_seeds_are_taken():
    drawn(seed=2**32 - 1, epochs=2, rank=63)
