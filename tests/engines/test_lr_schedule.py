"""The learning rate of each epoch."""

from __future__ import annotations

import math

import pytest
import torch

from braintumor_ext.engines import WarmupCosineLR, warmup_length


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
