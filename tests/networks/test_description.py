"""What a checkpoint tells of its network: written, checked, built again, and seen from the weights of old ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from braintumor_ext.errors import InputError
from braintumor_ext.networks import (
    ENCODERS,
    BrainTumorNet,
    ClassifierBaseline,
    UNetBaseline,
    build_network,
    describe_network,
    load_checkpoint,
    network_of_checkpoint,
    read_settings,
    write_settings,
)
from braintumor_ext.networks.description import describe_weights

OTHER = {
    "in_channels": 2,
    "num_classes": 5,
    "attention": True,
    "reduction": 8,
    "kernel_size": 3,
    "hidden": 48,
    "dropout": 0.25,
    "pyramid_channels": 24,
    "segmentation": True,
    "pyramid_activation": False,
    "encoder": "resnet50",
    "output_stride": 16,
}
"""Arguments of BrainTumorNet, none of which but two switches is the default."""


def shapes(network: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (BrainTumorNet, OTHER),
        (BrainTumorNet, {**OTHER, "attention": False, "segmentation": False}),
        (ClassifierBaseline, {"name": "efficientnet_b0", "in_channels": 3, "num_classes": 2}),
        (UNetBaseline, {"in_channels": 1, "num_classes": 3, "hidden": 16, "dropout": 0.1}),
    ],
)
def test_a_description_makes_the_same_network_again(kind, arguments):
    with torch.device("meta"):
        network = kind(**arguments)
        told = json.loads(json.dumps(describe_network(network)))
        again = build_network(told)
    assert told == {"architecture": kind.__name__, **arguments}
    assert type(again) is kind
    assert shapes(again) == shapes(network)


def test_every_argument_of_our_network_is_told_and_switches_given_as_text_are_switches():
    with torch.device("meta"):
        network = BrainTumorNet(attention="false", pyramid_activation="true")
        told = describe_network(network)
        names = set(describe_network(BrainTumorNet(**OTHER)))
    assert (told["attention"], told["pyramid_activation"]) == (False, True)
    assert names == {"architecture", *OTHER}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_encoder_is_seen_in_the_weights(encoder):
    with torch.device("meta"):
        found = describe_weights(BrainTumorNet(encoder=encoder).state_dict())
        assert shapes(build_network(found)) == shapes(BrainTumorNet(encoder=encoder))
    assert found["encoder"] == encoder


def test_another_network_has_no_description():
    class Ours(BrainTumorNet):
        """Of another forward pass, perhaps."""

    with torch.device("meta"):
        assert describe_network(torch.nn.Linear(2, 2)) is None
        assert describe_network(Ours()) is None
        assert describe_network(torch.nn.Sequential(BrainTumorNet())) is None


@pytest.mark.parametrize("changed", [{}, {"attention": False}, {"segmentation": False}, {"pyramid_activation": True}])
def test_old_checkpoints_show_their_arguments_in_their_weights(changed):
    arguments = {**OTHER, **changed}
    found = describe_weights(BrainTumorNet(**arguments).state_dict())
    unseen = {"dropout"}
    unseen |= set() if arguments["attention"] else {"reduction", "kernel_size"}
    unseen |= set() if arguments["segmentation"] else {"pyramid_channels"}
    expected = {name: value for name, value in arguments.items() if name not in unseen}
    assert found == {**expected, "pyramid_activation": arguments["pyramid_activation"] and arguments["segmentation"]}
    assert describe_weights(UNetBaseline().state_dict()) == {}


def written(folder: Path, of: torch.nn.Module, **settings) -> Path:
    path = folder / "model.pt"
    torch.save(of.state_dict(), path)
    write_settings(path, settings)
    return path


def test_load_checkpoint_returns_the_network_with_its_weights_and_settings(tmp_path):
    network = BrainTumorNet(**OTHER).eval()
    told = describe_network(network)
    path = written(tmp_path, network, image_size=96, class_names=list("abcde"), network=told)
    found, settings = load_checkpoint(path)
    assert (settings["image_size"], settings["network"]) == (96, told)
    assert found.arguments == OTHER
    assert not found.training
    x = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(found(x), network(x), rtol=0, atol=0)
    (tmp_path / "training.json").unlink()  # and what it can't tell is seen
    found, settings = load_checkpoint(path)
    assert settings == {}
    assert found.arguments == {**OTHER, "dropout": 0.5}


def test_a_checkpoint_of_fewer_classes_than_its_settings_name_is_refused(tmp_path):
    network = BrainTumorNet(num_classes=2, segmentation=False)
    path = written(tmp_path, network, class_names=["a", "b", "c"], network=describe_network(network))
    with pytest.raises(InputError, match=r"classifier\.5\.bias \(2,\) instead of \(3,\)"):
        load_checkpoint(path)


def test_what_is_no_checkpoint_is_taken_for_the_default_network(tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    torch.save([1, 2], tmp_path / "list.pt")
    with torch.device("meta"):
        default = BrainTumorNet().arguments
        for name in ("broken.pt", "list.pt", "missing.pt"):
            assert network_of_checkpoint(tmp_path / name).arguments == default


def test_arguments_that_are_given_go_before_the_checkpoints(tmp_path):
    path = written(tmp_path, torch.nn.Linear(1, 1), network={"architecture": "BrainTumorNet", **OTHER})
    with torch.device("meta"):
        assert network_of_checkpoint(path, attention="false").arguments == {**OTHER, "attention": False}


@pytest.mark.parametrize(
    "settings",
    [
        {"network": {"attention": "$print(1)"}},
        {"network": {"attention": "@bundle_root"}},
        {"network": {"attention": "%training.json::x"}},
        {"network": {"_target_": "os.system", "command": "true"}},
        {"network": {"architecture": "os.system"}},
        {"network": {"architecture": "Linear", "in_features": 2, "out_features": 2}},
        {"network": {"hidden": {"_target_": "os.getpid"}}},
        {"network": {"hidden": [1024]}},
        {"network": {"hidden": -1}},
        {"network": {"hidden": 10**12}},
        {"network": {"dropout": float("nan")}},
        {"network": {"dropout": None}},
        {"network": {"width": 2}},
        {"network": "$BrainTumorNet()"},
        {"network": [1, 2]},
        {"class_names": ["a", "$print(1)"]},
        {"class_names": ["a", {"_target_": "os.getpid"}]},
        {"class_names": ["a", None]},
        {"class_names": "$['a', 'b']"},
        {"class_names": []},
        {"empty_class": "@class_names"},
        {"image_size": "$2 * 112"},
        {"image_size": True},
        {"image_size": 0},
        {"in_channels": 1.5},
        {"batch_size": "%x"},
    ],
    ids=str,
)
def test_settings_are_data_and_what_a_config_would_evaluate_is_refused(tmp_path, settings):
    path = written(tmp_path, torch.nn.Linear(1, 1), **settings)
    (name,) = settings
    for use in (read_settings, network_of_checkpoint, load_checkpoint):
        with pytest.raises(InputError, match=rf"training\.json: {name} is .*Give the training\.json that"):
            use(path)


def test_settings_of_another_file_are_told_before_they_are_read(tmp_path):
    path = written(tmp_path, torch.nn.Linear(1, 1), image_size="$1")
    path.write_bytes(b"changed")
    with pytest.raises(InputError, match=r"not the file that training\.json beside it is of"):
        read_settings(path)
