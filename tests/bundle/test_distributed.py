"""Training and evaluation with two processes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from monai.data import DistributedSampler

from tests.bundle.test_evaluation import evaluate
from tests.bundle.test_training import history, same
from tests.bundle.workflows import ROOT, SMALL, make_workflow, read_table

pytestmark = pytest.mark.slow

TRAINING, VALIDATION, TEST = 13, 9, 9
"""Odd numbers, so that two processes have different numbers of slices, and of batches of four."""


# --- which slices a process sees


def indices(length, processes, epoch, sampler_id="train::sampler"):
    """The slices of each process in one epoch, as the config's sampler deals them."""
    entry = json.loads((ROOT / "configs" / "multi_gpu_train.json").read_text())[sampler_id]
    options = {key: entry[key] for key in ("even_divisible", "drop_last", "shuffle") if key in entry}
    dealt = []
    for rank in range(processes):
        sampler = DistributedSampler(range(length), num_replicas=processes, rank=rank, seed=0, **options)
        sampler.set_epoch(epoch)
        dealt.append(list(sampler))
    return dealt


@pytest.mark.parametrize(("length", "processes"), [(12, 2), (13, 2), (14, 4), (101, 8), (7, 3)])
def test_no_slice_is_dealt_twice_and_as_few_as_possible_are_left_out(length, processes):
    left_out = Counter()
    for epoch in range(60):
        dealt = [index for part in indices(length, processes, epoch) for index in part]
        assert len(dealt) == len(set(dealt))
        missing = set(range(length)) - set(dealt)
        assert len(missing) == length % processes <= processes - 1
        left_out.update(missing)
    # the ones that are left out change from epoch to epoch
    if length % processes:
        assert len(left_out) > length / 3
        assert max(left_out.values()) < 60


def test_every_process_has_equally_many_and_the_order_changes():
    for epoch in range(5):
        assert len({len(part) for part in indices(13, 2, epoch)}) == 1
    assert indices(13, 2, 1) != indices(13, 2, 2)


@pytest.mark.parametrize(("length", "processes"), [(12, 2), (13, 2), (5, 4), (101, 8)])
def test_evaluation_deals_every_slice_exactly_once(length, processes):
    dealt = [index for part in indices(length, processes, 1, "validate::sampler") for index in part]
    assert sorted(dealt) == list(range(length))


# --- two real processes


def torchrun(
    *arguments: str, module: Sequence[str] = ("monai.bundle", "run"), restarts: int = 0, fails: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a module in two processes; return what they have told."""
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command.append(f"--max_restarts={restarts}")
    own = {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONWARNINGS": "ignore",
        # else processes that are started again may read the addresses of those before them out of the shared store
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    result = subprocess.run(
        [*command, "-m", *module, *arguments],
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (result.returncode != 0) == fails, result.stderr[-4000:]
    return result


def options(**values: object) -> list[str]:
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def odd_dataset(phantom_dataset) -> Path:
    """The phantoms, divided into odd numbers of slices."""
    content = json.loads((phantom_dataset / "datalist.json").read_text())
    items = [item for name in ("training", "validation", "test") for item in content[name]]
    content["training"], items = items[:TRAINING], items[TRAINING:]
    content["validation"], content["test"] = items[:VALIDATION], items[VALIDATION : VALIDATION + TEST]
    path = phantom_dataset / "odd.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def trained_by_two(odd_dataset, tmp_path_factory) -> Path:
    """Two epochs of the real network by two processes of the fast pipeline, its weights averaged, and what was seen."""
    folder = tmp_path_factory.mktemp("two")
    overlay = folder / "overlay.json"
    handler = {"_target_": "tests.bundle.sightings.Sightings", "folder": str(folder)}
    validated = {"_target_": "tests.bundle.sightings.ValidatedWeights", "folder": str(folder)}
    overlay.write_text(json.dumps({"+train::handlers": [handler], "+validate::handlers": [validated]}))
    configs = [ROOT / "configs" / "train.json", ROOT / "configs" / "multi_gpu_train.json", overlay]
    torchrun(
        *("training", "--config_file", str([str(path) for path in configs])),
        *("--meta_file", str(ROOT / "configs" / "metadata.json")),
        *options(bundle_root=ROOT, dataset_dir=odd_dataset.parent, datalist=odd_dataset),
        *options(ckpt_dir=folder / "models", output_dir=folder / "out", pretrained="false", epochs=2),
        *options(ema_decay=0.9, pipeline="fast", cache_dir=folder / "cache"),
        *options(**{**SMALL, "batch_size": 4}),
    )
    return folder


def test_two_processes_share_the_training(trained_by_two):
    seen = defaultdict(list)
    per_process = defaultdict(set)
    for path in trained_by_two.glob("seen.*.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            seen[entry["epoch"]] += entry["files"]
            per_process[entry["epoch"], entry["rank"]].update(entry["files"])
    assert sorted(seen) == [1, 2]
    for epoch, files in seen.items():
        assert len(files) == len(set(files)) == TRAINING - TRAINING % 2
        assert len(per_process[epoch, 0]) == len(per_process[epoch, 1]) == TRAINING // 2
    assert seen[1] != seen[2]


def test_two_processes_write_one_training(trained_by_two):
    names = sorted(path.name for path in (trained_by_two / "models").iterdir())
    assert names == ["last.pt", "model.pt", "training.json"]
    history = read_table(trained_by_two / "out" / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert len(list((trained_by_two / "out" / "tensorboard").glob("events*"))) <= 2


def test_two_processes_validate_one_average_and_save_it(trained_by_two):
    one, other = ((trained_by_two / f"validated.{rank}.txt").read_text().split() for rank in (0, 1))
    assert one == other  # though the running statistics of each are of its own batches
    assert len(set(one)) == 2
    digest = hashlib.sha256()
    for value in torch.load(trained_by_two / "models" / "model.pt", weights_only=True).values():
        digest.update(value.numpy().tobytes())
    assert digest.hexdigest() in one


def test_two_processes_validate_as_one(trained_by_two, odd_dataset):
    """The score is that of all slices, each counted once, though the processes have different numbers of them."""
    best = json.loads((trained_by_two / "models" / "training.json").read_text())["epoch"]
    found = read_table(trained_by_two / "out" / "history.csv")[best - 1]
    workflow = make_workflow("train", dataset_dir=str(odd_dataset.parent), datalist=str(odd_dataset), pipeline="fast")
    workflow.initialize()
    workflow.network_def.load_state_dict(torch.load(trained_by_two / "models" / "model.pt", weights_only=True))
    workflow.evaluator.run()
    # not the loss: its Dice is one over a whole batch, and so depends on what is in it
    for name in ("val_score", "val_accuracy", "val_macro_f1", "val_mean_dice"):
        assert float(found[name]) == pytest.approx(workflow.evaluator.state.metrics[name], rel=1e-5), name


def test_two_processes_that_die_are_started_again_and_go_on_exactly(odd_dataset, tmp_path):
    places = (str(odd_dataset.parent), str(tmp_path), str(odd_dataset))
    # as often as the docs advise: torch itself may abort a process that ends, which costs one more start and no result
    torchrun(*places, module=["tests.bundle.restarted"], restarts=3)
    through, parts = (
        torch.load(tmp_path / name / "models" / "last.pt", weights_only=True) for name in ("through", "parts")
    )
    assert through["epoch"] == parts["epoch"] == 3
    for key in ("network", "averaging", "optimizer", "lr_scheduler"):
        assert same(through[key], parts[key]), key
    assert history(tmp_path / "through") == history(tmp_path / "parts")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2  # one of training, one of validation: all runs share them


def test_two_processes_evaluate_as_one(trained_by_two, odd_dataset, tmp_path):
    configs = [str(ROOT / "configs" / f"{name}.json") for name in ("train", "evaluate", "multi_gpu_train")]
    torchrun(
        *("evaluating", "--config_file", str(configs)),
        *options(bundle_root=ROOT, dataset_dir=odd_dataset.parent, datalist=odd_dataset, pretrained="false"),
        *options(ckpt_dir=trained_by_two / "models", output_dir=tmp_path / "two", **{**SMALL, "batch_size": 4}),
    )
    evaluate(
        odd_dataset.parent,
        trained_by_two / "models",
        tmp_path / "one",
        datalist=str(odd_dataset),
        batch_size=4,
        device="cpu",
    )
    two, one = (read_table(tmp_path / name / "per_image.csv") for name in ("two", "one"))
    assert len(two) == len({row["image"] for row in two}) == TEST
    assert [row["image"] for row in two] == [row["image"] for row in one]
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("two", "one")]
    assert_close(*metrics)


def assert_close(one, other, place=""):
    """Equal but for the rounding that depends on how slices are batched."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            if key not in ("date", "hardware"):
                assert_close(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_close(a, b, f"{place}[{index}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5), place
    else:
        assert one == other, place
