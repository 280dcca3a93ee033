"""Which parameters the weight decay shrinks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from braintumor_ext.engines import parameter_groups
from braintumor_ext.networks import BrainTumorNet


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
