"""Clipping of the gradient's norm."""

from __future__ import annotations

import pytest
import torch

from braintumor_ext.engines import GradientClipping
from tests.engines.trainers import make_trainer


@pytest.mark.parametrize(
    ("row", "expected"),
    # the gradient of a product is the row itself; (30, 40) has the norm 50
    [((30.0, 40.0), (0.6, 0.8)), ((0.3, 0.4), (0.3, 0.4)), ((0.0, -2.0), (0.0, -1.0))],
)
def test_a_longer_gradient_is_shortened_to_one_and_a_shorter_one_is_left(row, expected):
    trainer = make_trainer([GradientClipping(1.0)], rows=[row], rate=1.0)
    trainer.run()
    assert trainer.network.weight.grad.tolist() == pytest.approx(list(expected), rel=1e-5)
    # and it is the clipped gradient that the step went along
    assert trainer.network.weight.tolist() == pytest.approx([-v for v in expected], rel=1e-5)


def test_the_norm_is_of_all_parameters_together():
    network = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Linear(1, 1))
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 5.0)
    trainer = make_trainer([GradientClipping(1.0)], rows=[(3.0, 4.0)], network=network)
    trainer.run()
    squares = sum(float(p.grad.square().sum()) for p in network.parameters())
    assert squares == pytest.approx(1.0, rel=1e-4)
    assert all(float(p.grad.abs().max()) < 1 for p in network.parameters())


def test_a_parameter_without_gradient_is_no_obstacle():
    network = torch.nn.Module()
    network.used, network.unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    network.forward = lambda x: x @ network.used
    make_trainer([GradientClipping(1.0)], rows=[(3.0, 4.0)], network=network).run()
    assert network.used.grad.norm() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(("row", "expected"), [((30.0, 40.0), (0.6, 0.8)), ((0.3, 0.4), (0.3, 0.4))])
def test_scaled_gradients_are_unscaled_before_they_are_clipped(row, expected):
    # under mixed precision the gradients are thousands of times too large: a short one must not be clipped
    trainer = make_trainer(rows=[row], rate=1.0)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    loss = trainer.network(torch.tensor([row])).mean()
    trainer.scaler.scale(loss).backward()
    GradientClipping(1.0)(trainer)
    assert trainer.network.weight.grad.tolist() == pytest.approx(list(expected), rel=1e-5)
    # the step knows that they are unscaled already
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    assert trainer.network.weight.tolist() == pytest.approx([-v for v in expected], rel=1e-5)


@pytest.mark.parametrize("max_norm", [0, -1])
def test_a_norm_that_stops_all_learning_is_refused(max_norm):
    with pytest.raises(ValueError, match=f"max_norm must be positive, got {max_norm}"):
        GradientClipping(max_norm)
