"""A checkpoint of which a bit has changed gives no prediction."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from braintumor_ext.errors import InputError
from braintumor_ext.networks import load_checkpoint, load_weights, read_settings, write_settings


@pytest.fixture
def saved(tmp_path):
    network = nn.Linear(64, 64)
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    return network, path


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_told_whether_the_settings_are_there_or_not(saved, seed):
    network, path = saved
    write_settings(path, {"class_names": ["a", "b"]})
    whole = bytearray(path.read_bytes())
    weights = network.weight.detach().numpy().tobytes()
    place = whole.find(weights) + random.Random(seed).randrange(len(weights))
    whole[place] ^= 1 << (seed % 8)
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"is damaged, or not the file that training\.json"):
        load_checkpoint(path)
    (path.parent / "training.json").unlink()
    with pytest.raises(InputError, match=r"is damaged: its part .*data/0 has changed"):
        load_weights(network, path)


def test_settings_of_a_file_of_another_name_are_not_this_one_s(saved):
    network, path = saved
    write_settings(path, {"class_names": ["a", "b"]})
    other = path.with_name("other.pt")
    torch.save(nn.Linear(64, 64).state_dict(), other)
    assert read_settings(other) == {}
    load_weights(network, other)
