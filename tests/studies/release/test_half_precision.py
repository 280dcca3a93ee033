"""Half precision: what is kept, what is refused, and that stock tools load the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import monai
import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointLoader

from braintumor_ext import Predictor
from braintumor_ext.errors import InputError
from braintumor_ext.networks import load_weights, network_of_checkpoint
from studies.release import agreement, to_half, write_half
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import square_slice


def test_weights_become_half_while_vectors_and_counters_stay():
    state = {
        "conv.weight": torch.full((2, 3, 1, 1), 1 / 3),
        "norm.running_var": torch.tensor([1e-9, 1e6]),
        "norm.num_batches_tracked": torch.tensor(70000),
    }
    half = to_half(state)
    assert {name: value.dtype for name, value in half.items()} == {
        "conv.weight": torch.float16,
        "norm.running_var": torch.float32,
        "norm.num_batches_tracked": torch.int64,
    }
    assert half["conv.weight"].flatten()[0].item() == float(np.float16(1 / 3))
    assert half["norm.running_var"].tolist() == pytest.approx([1e-9, 1e6])
    assert half["norm.num_batches_tracked"].item() == 70000
    assert state["conv.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("layer.weight", torch.full((2, 2), 1e5), r"layer\.weight has the value 100000"),
        ("layer.weight", torch.tensor([[1.0, float("nan")]]), r"layer\.weight has values that are not finite"),
        ("norm.running_mean", torch.tensor([float("inf")]), r"norm\.running_mean has values that are not finite"),
    ],
)
def test_a_value_that_float16_cannot_hold_is_named_with_its_tensor(name, value, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        to_half({"fine": torch.ones(2, 2), name: value})
    with pytest.raises(InputError, match=told):
        write_half({name: value}, tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_would_be_too_large_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"takes 0\.2 MB in half precision, 0 MB are allowed"):
        write_half({"weight": torch.ones(100, 1000)}, tmp_path / "model.pt", largest=100_000)
    assert list(tmp_path.iterdir()) == []


def test_the_same_weights_give_the_same_bytes_and_others_take_no_files_place(tmp_path):
    one, two = tmp_path / "model.pt", tmp_path / "other.pt"
    for path in (one, two, one):
        write_half({"weight": torch.ones(4, 4)}, path)
    assert one.read_bytes() == two.read_bytes()
    assert len(list(tmp_path.glob("model*.pt"))) == 1
    before = one.read_bytes()
    write_half({"weight": torch.zeros(4, 4)}, one)
    (kept,) = (path for path in tmp_path.glob("model.*.pt") if path != one)
    assert kept.read_bytes() == before


def test_half_of_a_half_is_the_same(released, tmp_path):
    write_half(torch.load(released / "model.pt", weights_only=True), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == (released / "model.pt").read_bytes()


def test_the_predictions_of_both_precisions_agree(released, example_models):
    places = np.random.default_rng(5).uniform(0.05, 0.7, size=(12, 2))
    images = [square_slice(top=top, left=left, seed=200 + i)[0] for i, (top, left) in enumerate(places)]
    full, half = (
        Predictor.from_bundle(REPOSITORY, models / "model.pt", "cpu", calibration="none")(list(images))
        for models in (example_models, released)
    )
    # The example's encoder is random: it exaggerates rounding, where a trained one differs by less than 1e-3.
    for one, other in zip(full, half, strict=True):
        assert list(other.probabilities.values()) == pytest.approx(list(one.probabilities.values()), abs=5e-3)
        overlap, total = (one.mask & other.mask).sum(), one.mask.sum() + other.mask.sum()
        assert total > 0
        assert 2 * overlap / total > 0.99
    found = agreement(full, half)
    assert (found.slices, found.same_class) == (12, 1.0)
    assert 0 < found.probability < 5e-3
    assert 0.99 < found.mask_dice <= 1
    assert agreement(full, full).is_close
    assert not agreement(full, full[::-1]).is_close


def test_the_network_that_loads_it_stays_in_float32(released):
    network = network_of_checkpoint(released / "model.pt")
    load_weights(network, released / "model.pt")
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    state = torch.load(released / "model.pt", weights_only=True)
    assert {state[name].dtype for name, value in network.named_parameters() if value.ndim > 1} == {torch.float16}
    assert all(torch.equal(value, state[name].to(value.dtype)) for name, value in network.state_dict().items())


@pytest.fixture
def bundle(released: Path, tmp_path: Path) -> Path:
    """A bundle elsewhere that holds the released checkpoint."""
    root = tmp_path / "bundles" / "brain"
    root.mkdir(parents=True)
    for name in ("configs", "braintumor_ext"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / "models").symlink_to(released)
    return root


def test_monais_own_loaders_take_it(bundle, released):
    network = network_of_checkpoint(released / "model.pt")
    evaluator = SupervisedEvaluator(device=torch.device("cpu"), val_data_loader=[], network=network, epoch_length=0)
    loader = CheckpointLoader(str(released / "model.pt"), {"model": network}, map_location="cpu")
    loader(evaluator)
    loaded = monai.bundle.load(
        name=bundle.name,
        bundle_dir=str(bundle.parent),
        args_file={"bundle_root": str(bundle), "logging_file": False},
        device="cpu",
        net_override={**network.arguments},  # MONAI reads train.json's network alone
    )
    state = torch.load(released / "model.pt", weights_only=True)
    for found in (network, loaded):
        assert {value.dtype for value in found.parameters()} == {torch.float32}
        assert all(torch.equal(value, state[name].to(value.dtype)) for name, value in found.state_dict().items())


@pytest.mark.slow
def test_monai_exports_it_to_torchscript(bundle, released, tmp_path):
    path = tmp_path / "model.ts"
    monai.bundle.ckpt_export(
        net_id="network_def",
        filepath=str(path),
        ckpt_file=str(released / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
    )
    network = network_of_checkpoint(released / "model.pt").eval()
    load_weights(network, released / "model.pt")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exported = torch.jit.load(path).eval()
    with torch.no_grad():
        wanted, found = network(image), exported(image)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4)


def test_a_packed_bundle_takes_it(released, phantoms, tmp_path):
    from monai_bundle.pack import pack

    folder = pack(released / "model.pt", tmp_path / "dist")
    for name in ("model.pt", "calibration.json"):
        assert (folder / "models" / name).read_bytes() == (released / name).read_bytes()
    told = json.loads((folder / "models" / "training.json").read_text())
    assert told == json.loads((released / "training.json").read_text())
    image = next((phantoms / "images" / "Training").rglob("*.png"))
    one, other = (Predictor.from_bundle(root, released / "model.pt", "cpu")(image) for root in (REPOSITORY, folder))
    assert one.to_dict() == other.to_dict()
    shutil.rmtree(tmp_path / "dist")
