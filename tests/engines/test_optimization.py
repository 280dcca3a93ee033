"""Groups of parameters, the learning rate, clipped gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from braintumor_ext.engines import GradientClipping, WarmupCosineLR, parameter_groups, warmup_length
from braintumor_ext.networks import BrainTumorNet
from tests.engines.trainers import make_trainer


def shrunk(network: nn.Module, decay_on: str) -> set[str]:
    """The parameters that a step without any gradient makes smaller."""
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    for value in network.parameters():
        value.grad = torch.zeros_like(value)
    torch.optim.AdamW(parameter_groups(network, decay_on), lr=0.1, weight_decay=0.5).step()
    after = dict(network.named_parameters())
    for name, value in before.items():  # AdamW: w - lr * decay * w, or nothing
        assert torch.equal(after[name], value) or torch.allclose(after[name], value * 0.95)
    return {name for name, value in before.items() if not torch.equal(after[name], value)}


def small_network() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.GroupNorm(1, 2), nn.Linear(2, 3))
    for value in network.parameters():
        nn.init.constant_(value, 2.0)
    return network


def test_all_parameters_decay_by_default():
    network = small_network()
    assert shrunk(network, "all") == {name for name, _ in network.named_parameters()}


def test_biases_and_norms_can_be_left_out():
    assert shrunk(small_network(), "matrices") == {"0.weight", "3.weight"}


@pytest.mark.parametrize("decay_on", ["all", "matrices"])
def test_every_parameter_is_in_exactly_one_group(decay_on):
    network = BrainTumorNet()
    grouped = [value for group in parameter_groups(network, decay_on) for value in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, network.parameters()))


def test_another_choice_is_refused():
    with pytest.raises(ValueError, match="one of all, matrices, got 'weights'"):
        parameter_groups(small_network(), "weights")


def rates(epochs: int, base: float = 1e-3) -> list[float]:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=base)
    schedule = WarmupCosineLR(optimizer, epochs)
    out = []
    for _ in range(epochs):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return out


@pytest.mark.parametrize(
    ("epoch", "expected"),
    # 50: 1e-5 + 9.9e-4 * (1 + cos(pi * 45 / 95)) / 2; 99: 1e-5 + 9.9e-4 * (1 + cos(pi * 94 / 95)) / 2
    [(0, 2.0e-4), (1, 3.6e-4), (5, 1e-3), (50, 5.459e-4), (99, 1.03e-5)],
)
def test_a_hundred_epochs_follow_the_published_schedule(epoch, expected):
    assert rates(100)[epoch] == pytest.approx(expected, rel=3e-3)


def test_it_equals_torchs_linear_and_cosine_one_after_the_other():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    parts = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 0.2, total_iters=5),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 95, eta_min=1e-5),
    ]
    reference = torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[5])
    expected = []
    for _ in range(100):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates(100) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (3, 0), (5, 1), (8, 2), (19, 4), (20, 5), (100, 5)])
def test_short_trainings_warm_up_for_a_quarter_of_their_epochs(epochs, warmup):
    assert warmup_length(epochs) == warmup


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, [1e-3]),
        (3, [1e-3] + [1e-5 + 9.9e-4 * (1 + math.cos(math.pi * e / 3)) / 2 for e in (1, 2)]),
        (5, [2e-4] + [1e-5 + 9.9e-4 * (1 + math.cos(math.pi * e / 4)) / 2 for e in (0, 1, 2, 3)]),
    ],
)
def test_short_trainings_work(epochs, expected):
    assert rates(epochs) == pytest.approx(expected)


def test_a_resumed_training_goes_on_with_the_same_rates():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    first = WarmupCosineLR(optimizer, 20)
    for _ in range(7):
        optimizer.step()
        first.step()
    state = first.state_dict()
    other = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    resumed = WarmupCosineLR(other, 20)
    resumed.load_state_dict(state)
    assert other.param_groups[0]["lr"] == pytest.approx(rates(20)[7])
    other.step()
    resumed.step()
    assert other.param_groups[0]["lr"] == pytest.approx(rates(20)[8])


def test_no_epochs_are_refused():
    with pytest.raises(ValueError, match="max_epochs must be positive, got 0"):
        WarmupCosineLR(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), 0)


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
