from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from braintumor_ext.networks import BrainTumorNet
from braintumor_ext.saliency_metrics.randomisation import cascade, similarity, stages_from_the_head
from tests.bundle.tiny_net import TinyNet

STAGES = ["classifier", "layer4", "layer3", "layer2", "layer1", "conv1"]
ENCODER = {
    "classifier": ("classifier.",),
    **{f"layer{n}": (f"encoder.layer{n}.", f"encoder.attention{n}.") for n in (1, 2, 3, 4)},
    "conv1": ("encoder.conv1.", "encoder.bn1."),
}


def trained_net() -> BrainTumorNet:
    """A network none of whose values are those of a fresh one."""
    network = BrainTumorNet()
    with torch.no_grad():
        for value in [*network.parameters(), *network.buffers()]:
            value.add_(1)
    return network


def changed_keys(before: dict[str, Tensor], after: nn.Module) -> set[str]:
    return {key for key, value in after.state_dict().items() if not torch.equal(value, before[key])}


def randomised(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """The values after the last stage."""
    *_, (_, last) = cascade(network, seed)
    return last.state_dict()


def test_each_stage_changes_all_of_its_own_values_and_nothing_else() -> None:
    network = trained_net()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    done: set[str] = set()
    names = []
    for name, changed in cascade(network):
        names.append(name)
        done |= {key for key in before if key.startswith(ENCODER[name])}
        assert changed_keys(before, changed) == done
        assert not changed.training
    assert names == STAGES
    assert {key for key in before if not key.startswith("decoder.")} == done
    assert changed_keys(before, network) == set()  # the network itself is left as it was


def test_what_was_learnt_is_gone_at_the_end() -> None:
    state = randomised(trained_net())
    assert all(state[key].item() == 0 for key in state if key.endswith("alpha"))
    encoder = {key: value for key, value in state.items() if key.startswith("encoder.")}
    assert all(bool((v == 0).all()) for key, v in encoder.items() if key.endswith("running_mean"))
    assert all(bool((v == 1).all()) for key, v in encoder.items() if key.endswith("running_var"))
    # Weights are drawn about 0, not about the 1 that "training" had added.
    assert all(abs(float(v.mean())) < 0.1 for key, v in encoder.items() if key.endswith("conv2.weight"))


def test_a_seed_gives_the_same_draws_and_leaves_the_global_state() -> None:
    network = TinyNet()
    torch.manual_seed(5)
    states = [randomised(network, seed) for seed in (0, 0, 1)]
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not torch.equal(states[0]["features.weight"], states[2]["features.weight"])


def test_another_network_is_randomised_child_by_child_from_its_end() -> None:
    assert [name for name, _ in stages_from_the_head(TinyNet())] == ["outline", "classifier", "norm", "features"]


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


def test_parameters_that_cannot_be_drawn_are_told() -> None:
    with pytest.raises(ValueError, match="Scaled has parameters, but no reset_parameters"):
        list(cascade(nn.Sequential(nn.Linear(2, 2), Scaled())))
    with pytest.raises(ValueError, match=r"own parameters \['scale'\] belong to no stage"):
        list(cascade(Scaled()))


# --- similarity


def test_spearman_is_the_correlation_of_ranks() -> None:
    torch.manual_seed(0)
    one, other = torch.rand(3, 1, 16, 16), torch.rand(3, 1, 16, 16)
    other[1] = one[1] ** 3  # the same order
    other[2] = 1 - one[2]  # the opposite one
    found = similarity(one, other).spearman
    ranks = [rankdata(maps[0].numpy().ravel()) for maps in (one, other)]
    assert found[0] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert found[1:] == pytest.approx([1.0, -1.0])


def test_ssim_of_two_constant_maps_is_that_of_their_brightness() -> None:
    # No variance: only (2 a b + c1) / (a^2 + b^2 + c1) with c1 = 0.01^2 is left (Wang et al. 2004, equation 6).
    a, b = 0.8, 0.2
    found = similarity(torch.full((1, 1, 16, 16), a), torch.full((1, 1, 16, 16), b))
    assert found.ssim[0] == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4), abs=1e-4)
    assert np.isnan(found.spearman[0])


def test_equal_maps_are_alike_and_unrelated_ones_are_not() -> None:
    torch.manual_seed(0)
    one, other = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    same, different = similarity(one, one), similarity(one, other)
    assert same.spearman == pytest.approx(1)
    assert same.ssim == pytest.approx(1)
    assert (abs(different.spearman) < 0.15).all()
    assert (abs(different.ssim) < 0.15).all()
