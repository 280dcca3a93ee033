"""The configs, as MONAI and a command line use them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.networks import BrainTumorNet, HeadView
from tests.bundle.workflows import ROOT, TINY_NET, make_workflow, places, read_table

pytestmark = pytest.mark.slow

CONFIGS = {
    "train": ("train", ["train"]),
    "evaluate": ("train", ["train", "evaluate"]),
    "calibrate": ("train", ["train", "calibrate"]),
    "explain": ("train", ["train", "explain"]),
    "demo": ("train", ["train", "demo"]),
    "multi_gpu_train": ("train", ["train", "multi_gpu_train"]),
    "multi_gpu_evaluate": ("train", ["train", "evaluate", "multi_gpu_train"]),
    "inference": ("infer", ["inference"]),
    "multi_gpu_inference": ("infer", ["inference", "multi_gpu_inference"]),
}


@pytest.fixture
def one_process(monkeypatch):
    """What torchrun sets for a single process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "RANK": 0,
        "LOCAL_RANK": 0,
        "WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }.items():
        monkeypatch.setenv(name, str(value))
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


# --- properties that MONAI asks for


@pytest.mark.parametrize("name", CONFIGS)
def test_all_properties_of_a_bundle_are_there(name, phantom_dataset, tmp_path, one_process):
    kind, files = CONFIGS[name]
    data = phantom_dataset.parent / "images" if kind == "infer" else phantom_dataset
    workflow = make_workflow(
        *files, workflow_type=kind, **{**places(data, tmp_path), "network_def": TINY_NET, "device": "cpu"}
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.finalize()


@pytest.mark.parametrize("name", ["train", "inference"])
def test_every_handler_is_a_component_of_its_own(name):
    # MONAI and MONAI Label look through the lists for handlers of a certain kind
    parser = make_workflow(name, workflow_type="train" if name == "train" else "infer").parser
    for place in ("train::handlers", "validate::handlers") if name == "train" else ("dataset",):
        entries = parser[place]
        assert all("_target_" in entry for entry in (entries if isinstance(entries, list) else [entries]))


# --- overrides


TRAIN_OVERRIDES = [
    ("dataset_dir", "D", "train::dataset::data::dataset_dir", "D"),
    ("dataset_dir", "D", "validate::dataset::data::dataset_dir", "D"),
    ("datalist", "other.json", "train::dataset::data::datalist", "other.json"),
    ("output_dir", "O", "history::output_dir", "O"),
    ("ckpt_dir", "M", "train::handlers::8::ckpt_dir", "M"),
    ("device", "cpu", "train::trainer::device", "cpu"),
    ("device", "cpu", "validate::evaluator::device", "cpu"),
    ("epochs", 7, "train::trainer::max_epochs", 7),
    ("epochs", 7, "lr_scheduler::max_epochs", 7),
    ("train::trainer::max_epochs", 7, "lr_scheduler::max_epochs", 7),
    ("batch_size", 5, "train::dataloader::batch_size", 5),
    ("batch_size", 5, "validate::dataloader::batch_size", 5),
    ("class_names", ["a", "no_tumor"], "network_def::num_classes", 2),
    ("class_names", ["a", "no_tumor"], "train::dataset::data::classes", Classes(("a", "no_tumor"), "no_tumor")),
    ("empty_class", "glioma", "train::dataset::data::classes", Classes(CLASSES.names, "glioma")),
    ("in_channels", 1, "network_def::in_channels", 1),
    ("pretrained", "resnet50.pth", "train::handlers::8::pretrained", "resnet50.pth"),
    ("learning_rate", 0.01, "optimizer::lr", 0.01),
    ("num_workers", 3, "train::dataloader::num_workers", 3),
    ("num_workers", 3, "validate::dataloader::num_workers", 3),
    ("cache_rate", 0.0, "train::dataset::cache_rate", 0.0),
    ("amp", "false", "train::inferer::enabled", "false"),
    ("resume", "true", "train::handlers::8::resume", "true"),
    ("alpha", 0.5, "loss::alpha", 0.5),
    ("amp_dtype", "bfloat16", "train::trainer::amp_kwargs", {"dtype": torch.bfloat16}),
    ("amp_dtype", "bfloat16", "validate::evaluator::amp_kwargs", {"dtype": torch.bfloat16}),
    ("tf32", True, "cuda_options::tf32", True),
    ("cudnn_benchmark", True, "cuda_options::cudnn_benchmark", True),
    ("compile", "true", "train::trainer::compile", True),
    ("compile_mode", "reduce-overhead", "train::trainer::compile_kwargs::mode", "reduce-overhead"),
    ("ema_decay", 0.99, "averaging::decay", 0.99),
    ("max_grad_norm", 5.0, "train::handlers::1::max_norm", 5.0),
    ("max_grad_norm", 0, "train::handlers::1", None),
]


def test_the_optimizer_takes_the_steps_of_adamw_whatever_the_memory_format():
    # Loshchilov & Hutter, algorithm 2, in float64, with the config's rates
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last))
    bias = torch.nn.Parameter(torch.randn(4))
    expected = [value.detach().double().numpy().copy() for value in (weight, bias)]
    moments = [(np.zeros_like(value), np.zeros_like(value)) for value in expected]
    optimizer = make_workflow("train", **{"optimizer::params": [weight, bias]}).parser.get_parsed_content("optimizer")
    images = torch.randn(3, 2, 3, 8, 8)
    for step, image in enumerate(images, 1):
        optimizer.zero_grad()
        (torch.nn.functional.conv2d(image, weight, bias) ** 2).mean().backward()
        gradients = [value.grad.double().numpy().copy() for value in (weight, bias)]
        optimizer.step()
        for index, gradient in enumerate(gradients):
            first, second = moments[index]
            moments[index] = (0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2)
            first, second = moments[index][0] / (1 - 0.9**step), moments[index][1] / (1 - 0.999**step)
            expected[index] -= 1e-3 * 1e-4 * expected[index] + 1e-3 * first / (np.sqrt(second) + 1e-8)
    for value, wanted in zip((weight, bias), expected, strict=True):
        assert value.detach().numpy() == pytest.approx(wanted, abs=2e-6)


@pytest.mark.parametrize(("name", "value", "place", "expected"), TRAIN_OVERRIDES)
def test_an_override_of_training_reaches_its_place(name, value, place, expected):
    workflow = make_workflow("train", **{"optimizer::params": [], name: value})
    workflow.initialize()
    assert workflow.parser.get_parsed_content(place) == expected


@pytest.mark.parametrize(
    ("files", "kind", "name", "value", "place", "expected"),
    [
        (["train", "evaluate"], "train", "split", "validation", "validate::dataset::data::section", "validation"),
        (["train", "evaluate"], "train", "ckpt_dir", "M", "load_checkpoint::path", "M/model.pt"),
        (["train", "evaluate"], "train", "checkpoint", "other.pt", "load_checkpoint::path", "other.pt"),
        (["train", "evaluate"], "train", "random_seed", 5, "validate::handlers::0::seed", 5),
        (["train", "evaluate"], "train", "output_dir", "E", "validate::handlers::0::output_dir", "E"),
        (["inference"], "infer", "slices", "all", "dataset::data::slices", "all"),
        (["inference"], "infer", "dataset_dir", "F", "dataset::data::path", "F"),
        (["inference"], "infer", "output_dir", "P", "writer::output_dir", "P"),
        (["inference"], "infer", "batch_size", 3, "dataloader::batch_size", 3),
        (["inference"], "infer", "class_names", ["a", "b", "no_tumor"], "network_def::num_classes", 3),
        (["inference"], "infer", "ckpt_dir", "M", "checkpointloader::path", "M/model.pt"),
        (["inference"], "infer", "image_size", 96, "writer::image_size", 96),
    ],
)
def test_an_override_of_evaluation_and_inference_reaches_its_place(files, kind, name, value, place, expected):
    workflow = make_workflow(*files, workflow_type=kind, **{name: value})
    workflow.initialize()
    assert workflow.parser.get_parsed_content(place) == expected


def test_the_published_recipe_is_the_default_and_biases_and_norms_can_be_spared_the_weight_decay():
    decays = {}
    for choice, overrides in {"default": {}, "matrices": {"weight_decay_on": "matrices"}}.items():
        workflow = make_workflow("train", network_def=TINY_NET, **overrides)
        network, optimizer = (workflow.parser.get_parsed_content(name) for name in ("network_def", "optimizer"))
        names = {id(value): name for name, value in network.named_parameters()}
        decays[choice] = {
            names[id(value)]: group["weight_decay"] for group in optimizer.param_groups for value in group["params"]
        }
    assert set(decays["default"].values()) == {1e-4}
    spared = {name for name, decay in decays["matrices"].items() if decay == 0}
    assert spared == {"features.bias", "norm.weight", "norm.bias", "classifier.bias", "outline.bias"}
    assert {decay for name, decay in decays["matrices"].items() if name not in spared} == {1e-4}


def test_validation_interval_and_patience_reach_their_handlers():
    parser = make_workflow("train", val_interval=4, patience=6).parser
    parser.parse()
    by_target = {entry["_target_"].rpartition(".")[2]: i for i, entry in enumerate(parser["train::handlers"])}
    assert parser.get_parsed_content(f"train::handlers::{by_target['ValidateEvery']}::interval") == 4
    assert parser.get_parsed_content(f"train::handlers::{by_target['EarlyStopping']}::patience") == 6


@pytest.mark.parametrize("config", ["train", "inference"])
def test_the_image_size_is_the_resized_pictures(config, phantom_dataset):
    picture = next((phantom_dataset.parent / "images" / "Training" / "glioma_tumor").iterdir())
    workflow = make_workflow(config, workflow_type="train", image_size=48, in_channels=1)
    workflow.initialize()
    transform = workflow.parser.get_parsed_content("validate::preprocessing" if config == "train" else "preprocessing")
    assert transform({"image": str(picture)})["image"].shape == (1, 48, 48)


def test_training_and_inference_hand_the_network_the_same_picture(phantom_dataset):
    picture = next((phantom_dataset.parent / "images" / "Training" / "meningioma_tumor").iterdir())
    images = []
    for config, place in (("train", "validate::preprocessing"), ("inference", "preprocessing")):
        workflow = make_workflow(config, workflow_type="train")
        workflow.initialize()
        images.append(workflow.parser.get_parsed_content(place)({"image": str(picture)})["image"])
    assert torch.equal(torch.as_tensor(images[0]), torch.as_tensor(images[1]))


def test_plain_run_is_training_evaluating_and_inference():
    for files, named in ((["train"], "training"), (["train", "evaluate"], "evaluating")):
        parser = make_workflow(*files).parser
        parser.parse()
        assert parser["run"] == parser[named]
    assert "run" in make_workflow("inference", workflow_type="infer").parser


# --- the network


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.parametrize("config", ["train", "inference"])
def test_networks_are_built_without_a_download(config, no_network):
    workflow = make_workflow(config, workflow_type="train", pretrained=True)
    workflow.initialize()
    kinds = {"network_def": BrainTumorNet, "segmentation_network": HeadView, "classification_network": HeadView}
    for name, kind in kinds.items():
        assert isinstance(workflow.parser.get_parsed_content(name), kind), name


@pytest.mark.parametrize("config", ["train", "inference"])
def test_both_views_agree_with_what_the_metadata_says_of_their_tensors(config):
    files = {
        "config_file": str(ROOT / "configs" / f"{config}.json"),
        "meta_file": str(ROOT / "configs" / "metadata.json"),
        "bundle_root": str(ROOT),
        "device": "cpu",
        "n": 2,
    }
    monai.bundle.verify_net_in_out(net_id="segmentation_network", **files)
    classes = json.loads((ROOT / "configs" / "metadata.json").read_text())["network_data_format"]["outputs"]["class"]
    override = {"_meta_::network_data_format::outputs::pred": classes}
    monai.bundle.verify_net_in_out(net_id="classification_network", **files, **override)
    with pytest.raises(ValueError, match="channel number"):
        monai.bundle.verify_net_in_out(net_id="classification_network", **files)


@pytest.fixture
def bundle_copy(trained, tmp_path):
    """A bundle elsewhere, with a trained model in it."""
    root = tmp_path / "bundles" / "brain"
    root.mkdir(parents=True)
    for name in ("configs", "braintumor_ext"):
        (root / name).symlink_to(ROOT / name)
    (root / "models").symlink_to(trained[0] / "models")
    return root


def test_monai_loads_the_trained_network_from_another_directory(
    bundle_copy, trained, tmp_path, monkeypatch, no_network
):
    monkeypatch.chdir(tmp_path)
    network = monai.bundle.load(
        name=bundle_copy.name,
        bundle_dir=str(bundle_copy.parent),
        args_file={"bundle_root": str(bundle_copy), "logging_file": False},
        device="cpu",
    )
    expected = torch.load(trained[0] / "models" / "model.pt", weights_only=True)
    assert isinstance(network, BrainTumorNet)
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


def test_a_workflow_is_created_from_another_directory(bundle_copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workflow = monai.bundle.create_workflow(
        config_file=str(bundle_copy / "configs" / "inference.json"),
        workflow_type="infer",
        bundle_root=str(bundle_copy),
        logging_file=False,
    )
    assert isinstance(workflow.network_def, BrainTumorNet)


# --- the command line


def bundle(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_training_and_evaluation_run_from_another_directory(phantom_dataset, big_folder):
    configs = ROOT / "configs"
    common = ("--bundle_root", str(ROOT), "--dataset_dir", str(phantom_dataset), "--image_size", "64")
    places_ = ("--ckpt_dir", "models", "--output_dir", "out", "--num_workers", "0")
    trained = bundle(
        *("run", "training", "--config_file", str(configs / "train.json"), *common, *places_),
        *("--epochs", "1", "--batch_size", "8", "--pretrained", "false"),
        cwd=big_folder,
    )
    assert trained.returncode == 0, trained.stderr[-3000:]
    assert "val_score" in trained.stdout  # console lines by logging.conf
    evaluated = bundle(
        *("run", "--config_file", f"['{configs / 'train.json'}','{configs / 'evaluate.json'}']", *common, *places_),
        cwd=big_folder,
    )
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    assert len(read_table(big_folder / "out" / "per_image.csv")) == 8
    assert not (ROOT / "eval" / "metrics.json").exists()
