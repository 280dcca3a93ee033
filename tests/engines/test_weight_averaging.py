"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from torch import nn

from braintumor_ext.engines import WeightAveraging
from tests.engines.trainers import Weigh, make_evaluator, make_trainer, validating

ROWS = ((1.0, 0.0), (0.0, 3.0), (2.0, 2.0))


class Normed(nn.Module):
    """A weight vector behind batch normalisation: running statistics, and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.weigh = Weigh()

    def forward(self, x):
        return self.weigh(self.norm(torch.cat([x, 2 * x])))


def average_by_hand(states, decay):
    """The average in float64, from the weights at the start and after each step."""
    average = states[0].double()
    for step, state in enumerate(states[1:]):
        kept = min(decay, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * state.double()
    return average


def train(decay, epochs=2, network=None, scores=None, **kwargs):
    network = network if network is not None else Weigh()
    evaluator = make_evaluator(scores or [0.1] * epochs, network)
    trainer = make_trainer([validating(evaluator)], epochs, rows=ROWS, network=network, **kwargs)
    averaging = WeightAveraging(network, evaluator, decay)
    averaging.attach(trainer)
    states = []

    def note(engine):
        states.append({name: value.clone() for name, value in network.state_dict().items()})

    trainer.add_event_handler(Events.STARTED, note)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    trainer.run()
    return averaging, evaluator, states


@pytest.mark.parametrize("decay", [0.15, 0.999])
def test_the_average_is_that_of_all_steps_and_forgets_the_first_ones_early(decay):
    averaging, _, states = train(decay)
    assert len(states) == 1 + 2 * len(ROWS)
    wanted = average_by_hand([state["weight"] for state in states], decay)
    torch.testing.assert_close(averaging.average.weight.double(), wanted, rtol=1e-5, atol=1e-6)


def test_running_statistics_are_averaged_and_counters_copied():
    averaging, _, states = train(0.5, network=Normed())
    found = averaging.average.state_dict()
    for name in ("norm.running_mean", "norm.running_var", "norm.weight"):
        wanted = average_by_hand([state[name] for state in states], 0.5)
        torch.testing.assert_close(found[name].double(), wanted, rtol=1e-5, atol=1e-6)
    assert int(found["norm.num_batches_tracked"]) == 2 * len(ROWS)


def test_the_evaluator_sees_the_average_and_the_trainer_the_weights():
    network = Weigh()
    averaging, evaluator, states = train(0.9, network=network)
    assert evaluator.network is averaging.average
    assert not averaging.average.training
    assert torch.equal(network.weight, states[-1]["weight"])
    assert not torch.equal(averaging.average.weight, network.weight)


def test_without_decay_nothing_is_averaged():
    network = Weigh()
    averaging, evaluator, _ = train(0, network=network)
    assert evaluator.network is network
    assert averaging.average is network
    assert averaging.state_dict() == {}


def test_the_average_starts_from_the_weights_that_are_loaded_before_the_first_step():
    network, evaluator = Weigh(), make_evaluator([0.1])
    trainer = make_trainer([], 1, rows=ROWS[:1], rate=0.0, network=network)
    averaging = WeightAveraging(network, evaluator, 0.9)
    averaging.attach(trainer)
    with torch.no_grad():
        network.weight.fill_(7.0)
    trainer.run()
    assert averaging.average.weight.tolist() == [7.0, 7.0]


def test_an_average_goes_on_from_its_state():
    through, _, states = train(0.999)
    half, _, _ = train(0.999, epochs=1)
    network = Weigh()
    network.load_state_dict(states[len(ROWS)])
    trainer = make_trainer([], 1, rows=ROWS, network=network)
    averaging = WeightAveraging(network, make_evaluator([]), 0.999)
    averaging.attach(trainer)
    averaging.load_state_dict(half.state_dict())
    trainer.run()
    assert averaging.updates == through.updates
    assert torch.equal(averaging.average.weight, through.average.weight)


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5])
def test_a_decay_that_averages_nothing_sensible_is_refused(decay):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\), got"):
        WeightAveraging(Weigh(), make_evaluator([]), decay)
