"""A new training may start from a checkpoint of the same network, of other classes too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from braintumor_ext.errors import InputError
from braintumor_ext.networks import BrainTumorNet, load_pretrained

TINY = {"encoder": "resnet18", "attention": False, "hidden": 16, "pyramid_channels": 8}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(BrainTumorNet(**TINY).half().state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_all_of_a_checkpoint_is_what_training_starts_from(checkpoint: Path) -> None:
    network = BrainTumorNet(**TINY)
    load_pretrained(network, checkpoint)
    given = torch.load(checkpoint)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, given[key].to(value.dtype), rtol=0, atol=0)
    assert network.encoder.conv1.weight.dtype == torch.float32


def test_the_output_stride_may_be_another(tmp_path: Path) -> None:
    arguments = {**TINY, "encoder": "resnet50"}
    coarse, fine = BrainTumorNet(**arguments), BrainTumorNet(**arguments, output_stride=16)
    torch.save(coarse.state_dict(), tmp_path / "coarse.pt")
    load_pretrained(fine, tmp_path / "coarse.pt")
    assert fine.state_dict()["output_stride"] == 16
    torch.testing.assert_close(fine.encoder.layer4[0].conv2.weight, coarse.encoder.layer4[0].conv2.weight)
    torch.save(fine.state_dict(), tmp_path / "fine.pt")
    load_pretrained(coarse, tmp_path / "fine.pt")
    assert "output_stride" not in coarse.state_dict()


def test_with_other_classes_the_last_layer_alone_is_new(checkpoint: Path) -> None:
    network = BrainTumorNet(**TINY, num_classes=3)
    own = {key: value.clone() for key, value in network.state_dict().items()}
    load_pretrained(network, str(checkpoint))
    given, new = torch.load(checkpoint), ("classifier.5.weight", "classifier.5.bias")
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, own[key] if key in new else given[key].to(value.dtype), rtol=0, atol=0)


def test_a_checkpoint_of_another_network_is_refused_by_name(checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"encoder\.attention1") as raised:
        load_pretrained(BrainTumorNet(**{**TINY, "attention": True}), checkpoint)
    assert str(checkpoint) in str(raised.value)
