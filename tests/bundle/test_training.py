"""Training through the bundle's config."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from braintumor_ext.errors import InputErrors
from braintumor_ext.networks import BrainTumorNet
from tests.bundle.waiting import Watch
from tests.bundle.workflows import (
    FLAT,
    Interruption,
    make_workflow,
    places,
    read_table,
    run_until_interrupted,
    told,
    train,
)

pytestmark = pytest.mark.slow


def last(folder: Path) -> dict:
    return torch.load(folder / "models" / "last.pt", weights_only=True)


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "models" / "model.pt", weights_only=True)


def same(one: object, other: object) -> bool:
    """Whether two nested states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def history(folder: Path) -> list[dict[str, str]]:
    """The table without the time that an epoch took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_table(folder / "out" / "history.csv")]


def cosine(epoch: int, length: int, base: float = 1e-3) -> float:
    return 1e-5 + (base - 1e-5) * (1 + math.cos(math.pi * epoch / length)) / 2


# --- the real network


def test_model_pt_is_a_flat_state_dict_that_plain_torch_loads(trained):
    folder, workflow = trained
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    network = BrainTumorNet()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    network.load_state_dict(state)  # strict
    assert same(state, {key: value.cpu() for key, value in workflow.network_def.state_dict().items()})


def test_training_leaves_settings_history_and_curves(trained):
    folder, _ = trained
    settings = json.loads((folder / "models" / "training.json").read_text())
    assert settings["class_names"] == ["glioma", "meningioma", "pituitary", "no_tumor"]
    assert (settings["image_size"], settings["in_channels"], settings["epoch"]) == (64, 3, 1)
    assert (folder / "out" / "training_curves.png").stat().st_size > 10_000
    assert list((folder / "out" / "tensorboard").glob("events*"))
    (row,) = history(folder)
    for name in ("learning_rate", "train_loss", "val_loss", "val_score", "val_macro_f1", "val_mean_dice"):
        assert math.isfinite(float(row[name])), name
    assert float(row["val_score"]) == pytest.approx((float(row["val_macro_f1"]) + float(row["val_mean_dice"])) / 2)


def test_pretrained_weights_are_applied_once_when_a_new_training_starts(phantom_dataset, big_folder):
    from torchvision.models import resnet50

    torch.manual_seed(5)
    published = resnet50().state_dict()
    path = big_folder / "resnet50.pth"
    torch.save(published, path)
    seen = {}

    def look(engine):
        seen.update({k: v.clone() for k, v in workflow.network_def.encoder.state_dict().items()})
        raise Interruption  # before the first step

    workflow = make_workflow("train", epochs=1, pretrained=str(path), **places(phantom_dataset, big_folder))
    workflow.initialize()
    workflow.trainer.add_event_handler(Events.EPOCH_STARTED, look)
    run_until_interrupted(workflow)
    for key in published:
        if not key.startswith("fc."):
            assert torch.equal(seen[key], published[key]), key


def test_the_published_weights_are_needed_neither_to_build_the_network_nor_to_resume(phantom_dataset, earlier_training):
    gone = earlier_training / "resnet50.pth"
    network = make_workflow("train", dataset_dir=str(phantom_dataset), pretrained=str(gone))
    network.initialize()
    assert isinstance(network.network_def, BrainTumorNet)
    train(phantom_dataset, earlier_training, epochs=2, resume=True, pretrained=str(gone), **FLAT)
    assert len(history(earlier_training)) == 2


def test_a_new_training_without_its_pretrained_weights_says_what_to_give(phantom_dataset, tmp_path):
    with told(r"gone\.pth: no such checkpoint"):
        train(phantom_dataset, tmp_path, epochs=1, pretrained=str(tmp_path / "gone.pth"), image_size=32)
    assert not (tmp_path / "models").exists()


# --- learning rate and length


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"epochs": 1}, [1e-3]),
        ({"epochs": 3}, [1e-3, cosine(1, 3), cosine(2, 3)]),
        # a quarter of 5, rounded down: one epoch of warm-up
        ({"train::trainer::max_epochs": 5}, [2e-4, *(cosine(e, 4) for e in range(4))]),
        ({"epochs": 3, "learning_rate": 1e-2}, [cosine(e, 3, 1e-2) for e in range(3)]),
    ],
)
def test_the_learning_rate_follows_the_schedule_over_the_length_of_the_training(
    phantom_dataset, tmp_path, override, expected
):
    workflow = make_workflow("train", patience=0, **places(phantom_dataset, tmp_path), **FLAT, **override)
    workflow.initialize()
    used = []
    workflow.trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: used.append(engine.optimizer.param_groups[0]["lr"])
    )
    workflow.run()
    steps = len(used) // len(expected)  # of each epoch
    assert used == pytest.approx([rate for rate in expected for _ in range(steps)])
    assert [float(row["learning_rate"]) for row in history(tmp_path)] == pytest.approx(expected)


def test_the_gradient_norm_never_passes_one(phantom_dataset, tmp_path):
    workflow = make_workflow("train", epochs=1, **places(phantom_dataset, tmp_path))
    workflow.initialize()
    parameters = list(workflow.network_def.parameters())
    before, after = [], []

    def norm(gradients):
        return float(torch.stack([g.double().square().sum() for g in gradients if g is not None]).sum().sqrt())

    @workflow.trainer.on(IterationEvents.LOSS_COMPLETED)
    def look_ahead(engine):
        loss = engine.state.output["loss"]
        before.append(norm(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)))

    @workflow.trainer.on(Events.ITERATION_COMPLETED)
    def look(engine):
        after.append(norm(p.grad for p in parameters))
        if engine.state.iteration == 2:
            raise Interruption

    run_until_interrupted(workflow)
    assert len(before) == 2
    assert max(before) > 1
    assert after == pytest.approx([min(value, 1.0) for value in before], rel=1e-3)


# --- the same numbers again


@pytest.mark.parametrize(
    "overrides", [{"num_workers": 0}, {"num_workers": 2}, {"ema_decay": 0.9, "weight_decay_on": "matrices"}]
)
def test_a_resumed_training_ends_like_one_that_ran_through(phantom_dataset, tmp_path, overrides):
    options = {"epochs": 3, "patience": 0, **FLAT, **overrides}
    train(phantom_dataset, tmp_path / "through", **options)

    def killed(engine):
        raise Interruption

    workflow = make_workflow("train", **places(phantom_dataset, tmp_path / "parts"), **options)
    workflow.initialize()
    # in the middle of the second epoch: what it had learnt by then is lost
    workflow.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), killed)
    run_until_interrupted(workflow)
    assert len(history(tmp_path / "parts")) == 1
    train(phantom_dataset, tmp_path / "parts", resume=True, **options)

    through, parts = (
        torch.load(tmp_path / name / "models/last.pt", weights_only=True) for name in ("through", "parts")
    )
    for key in ("network", "averaging", "optimizer", "lr_scheduler", "epoch"):
        assert same(through[key], parts[key]), key
    assert through["epoch"] == 3
    assert {k: v for k, v in through["best"].items() if k != "sha256"} == {
        k: v for k, v in parts["best"].items() if k != "sha256"
    }
    assert same(best_weights(tmp_path / "through"), best_weights(tmp_path / "parts"))
    assert history(tmp_path / "through") == history(tmp_path / "parts")


def test_the_average_of_the_weights_is_what_is_validated_and_saved(phantom_dataset, tmp_path):
    options = {"ema_decay": 0.9, "learning_rate": 0.1, **FLAT}
    train(phantom_dataset, tmp_path, epochs=2, **options)
    weights, raw = best_weights(tmp_path), last(tmp_path)["network"]
    assert weights.keys() == raw.keys()
    assert not torch.equal(weights["features.weight"], raw["features.weight"])
    # a network that is loaded with it scores as the best epoch did
    workflow = make_workflow("train", **places(phantom_dataset, tmp_path), **options)
    workflow.initialize()
    workflow.network_def.load_state_dict(weights)
    workflow.evaluator.run()
    best = json.loads((tmp_path / "models" / "training.json").read_text())["epoch"]
    row = history(tmp_path)[best - 1]
    for name in ("val_score", "val_loss"):
        assert workflow.evaluator.state.metrics[name] == pytest.approx(float(row[name]), rel=1e-6)


def test_a_compiled_network_is_trained_and_saved_like_any_other(phantom_dataset, tmp_path):
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    options = {"epochs": 2, "ema_decay": 0.5, **FLAT}
    train(phantom_dataset, plain, **options)
    # without code generation, which takes a minute: the graph is captured and run as it is
    capture = {"compile": True, "train::trainer::compile_kwargs": {"backend": "eager"}}
    workflow = train(phantom_dataset, compiled, **options, **capture)
    assert workflow.trainer.network is not workflow.network_def
    for key in ("network", "averaging"):
        assert same(last(plain)[key], last(compiled)[key])


def test_averaging_can_be_begun_and_ended_when_a_training_is_resumed(phantom_dataset, tmp_path):
    train(phantom_dataset, tmp_path, epochs=1, **FLAT)
    train(phantom_dataset, tmp_path, epochs=2, resume=True, ema_decay=0.9, **FLAT)
    assert last(tmp_path)["averaging"]["updates"] == 2  # of the second epoch: 16 slices in batches of 8
    train(phantom_dataset, tmp_path, epochs=3, resume=True, **FLAT)
    assert last(tmp_path)["averaging"] == {}


def test_the_seed_alone_decides_the_weights(phantom_dataset, tmp_path):
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        train(phantom_dataset, tmp_path / name, epochs=1, random_seed=seed, **FLAT)
    assert same(last(tmp_path / "one")["network"], last(tmp_path / "again")["network"])
    assert not same(last(tmp_path / "one")["network"], last(tmp_path / "other")["network"])


@pytest.mark.parametrize(("first", "then"), [("false", "true"), ("auto", "auto")])
def test_a_longer_training_goes_on_from_a_finished_one(phantom_dataset, tmp_path, first, then):
    train(phantom_dataset, tmp_path, epochs=2, resume=first, **FLAT)
    train(phantom_dataset, tmp_path, epochs=4, resume=then, **FLAT)
    rates = [float(row["learning_rate"]) for row in history(tmp_path)]
    # the first two epochs were of a training of two, the next two are of one of four (one of warm-up)
    assert rates == pytest.approx([cosine(0, 2), cosine(1, 2), cosine(1, 3), cosine(2, 3)])


@pytest.mark.parametrize("overrides", [{"epochs": 2}, {"epochs": 12, "patience": 1}])
def test_resuming_a_training_that_has_ended_changes_nothing(phantom_dataset, tmp_path, caplog, overrides):
    train(phantom_dataset, tmp_path, **overrides, **FLAT)
    assert last(tmp_path)["epoch"] == 2 or last(tmp_path)["epoch"] < 12  # at its end, or stopped early
    before = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    table = history(tmp_path)
    with caplog.at_level(logging.INFO, "braintumor_ext"):
        train(phantom_dataset, tmp_path, resume=True, **overrides, **FLAT)
    assert {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()} == before
    assert history(tmp_path) == table
    assert "--epochs" in caplog.text or "no better" in caplog.text


def test_a_training_is_resumed_with_batches_of_another_size(phantom_dataset, tmp_path):
    train(phantom_dataset, tmp_path, epochs=1, batch_size=4, **FLAT)
    workflow = make_workflow("train", epochs=3, batch_size=3, resume=True, **places(phantom_dataset, tmp_path), **FLAT)
    workflow.initialize()
    steps = []
    workflow.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: steps.append(engine.state.epoch))
    workflow.run()
    whole = len(workflow.trainer.data_loader)
    assert [steps.count(epoch) for epoch in (2, 3)] == [whole, whole]


def test_nothing_to_resume_is_told_with_the_remedy(phantom_dataset, tmp_path):
    with told(r"last\.pt: nothing to resume\. Start a new training"):
        train(phantom_dataset, tmp_path, epochs=1, resume=True, **FLAT)


def test_another_networks_state_is_not_resumed(phantom_dataset, earlier_training):
    with told(r"last\.pt: cannot be resumed .*Give the class_names, in_channels"):
        train(phantom_dataset, earlier_training, epochs=2, resume=True, in_channels=1, **FLAT)


def test_another_grouping_of_the_weight_decay_is_not_resumed(phantom_dataset, earlier_training):
    with told(r"last\.pt: cannot be resumed .*weight_decay_on"):
        train(phantom_dataset, earlier_training, epochs=2, resume=True, weight_decay_on="matrices", **FLAT)


# --- files of other trainings


def test_a_model_that_the_training_did_not_write_is_renamed_and_told(phantom_dataset, tmp_path, caplog):
    models = tmp_path / "models"
    models.mkdir()
    (models / "model.pt").write_bytes(b"someone's years of work")
    with caplog.at_level(logging.WARNING, "braintumor_ext"):
        train(phantom_dataset, tmp_path, epochs=1, **FLAT)
    (kept,) = (path for path in models.glob("model*.pt") if path.name != "model.pt")
    assert kept.read_bytes() == b"someone's years of work"
    assert kept.name in caplog.text
    best_weights(tmp_path)


def test_the_best_model_takes_the_place_of_the_trainings_own(phantom_dataset, tmp_path):
    train(phantom_dataset, tmp_path, epochs=4, patience=0, **FLAT)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["last.pt", "model.pt", "training.json"]
    train(phantom_dataset, tmp_path, epochs=6, patience=0, resume=True, **FLAT)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["last.pt", "model.pt", "training.json"]


def test_a_new_training_keeps_the_files_of_the_one_before(phantom_dataset, earlier_training):
    before = best_weights(earlier_training)
    train(phantom_dataset, earlier_training, epochs=1, random_seed=1, **FLAT)
    (kept,) = (path for path in (earlier_training / "models").glob("model*.pt") if path.name != "model.pt")
    assert same(before, torch.load(kept, weights_only=True))


def test_a_training_that_fails_at_once_leaves_all_files_where_they_are(phantom_dataset, earlier_training):
    before = {path.name: path.read_bytes() for path in (earlier_training / "models").iterdir()}
    workflow = make_workflow("train", epochs=1, random_seed=1, **places(phantom_dataset, earlier_training), **FLAT)
    workflow.initialize()

    @workflow.trainer.on(Events.ITERATION_COMPLETED)
    def interrupt(engine):
        raise Interruption

    run_until_interrupted(workflow)
    assert {path.name: path.read_bytes() for path in (earlier_training / "models").iterdir()} == before


# --- other users of the config


def test_a_handler_of_its_users_can_load_the_model_that_is_there(phantom_dataset, earlier_training):
    # as MONAI Label does to go on from the model it serves
    served = best_weights(earlier_training)
    workflow = make_workflow("train", epochs=1, random_seed=1, **places(phantom_dataset, earlier_training), **FLAT)
    path = str(earlier_training / "models" / "model.pt")
    loader = {"_target_": "CheckpointLoader", "load_path": path, "load_dict": {"model": "@network"}}
    workflow.parser["train::handlers"].insert(0, loader)
    workflow.initialize()
    seen = {}

    @workflow.trainer.on(Events.EPOCH_STARTED)
    def look(engine):
        seen.update({key: value.clone() for key, value in workflow.network_def.state_dict().items()})

    workflow.run()
    assert same(seen, served)


def test_masks_alone_are_enough_to_train(phantom_dataset, tmp_path):
    # MONAI Label gives items with an image and a label only
    items = json.loads((phantom_dataset / "datalist.json").read_text())
    data = {
        name: [
            {key: str((phantom_dataset / item[key]).resolve()) for key in ("image", "label")}
            for item in items[name]
            if "label" in item
        ]
        for name in ("training", "validation")
    }
    train(
        tmp_path / "there is none",
        tmp_path,
        **{
            "train::dataset::data": data["training"],
            "validate::dataset::data": data["validation"],
            "train::trainer::max_epochs": 1,
            **FLAT,
        },
    )
    (row,) = history(tmp_path)
    assert math.isfinite(float(row["train_loss"]))
    assert float(row["val_score"]) == float(row["val_mean_dice"])
    assert (tmp_path / "models" / "model.pt").is_file()


def test_classes_alone_are_enough_to_train(phantom_dataset, tmp_path):
    items = json.loads((phantom_dataset / "datalist.json").read_text())
    for section in ("training", "validation", "test"):
        for item in items[section]:
            item.pop("label", None)
    path = phantom_dataset / "without_masks.json"
    path.write_text(json.dumps(items))
    train(phantom_dataset, tmp_path, datalist=str(path), epochs=1, **FLAT)
    (row,) = history(tmp_path)
    assert math.isfinite(float(row["train_loss"]))
    assert float(row["val_score"]) == float(row["val_macro_f1"])


def test_every_third_epoch_and_the_last_are_validated_and_the_best_is_chosen_from_them(phantom_dataset, tmp_path):
    workflow = train(phantom_dataset, tmp_path, epochs=7, val_interval=3, patience=0, **FLAT)
    scores = {int(row["epoch"]): row["val_score"] for row in history(tmp_path)}
    assert [epoch for epoch, score in scores.items() if score] == [3, 6, 7]
    settings = json.loads((tmp_path / "models" / "training.json").read_text())
    best = max((3, 6, 7), key=lambda epoch: (float(scores[epoch]), -epoch))
    assert settings["epoch"] == best == workflow.evaluator.state.best_metric_epoch


@pytest.mark.parametrize("in_channels", [1, 3])
def test_any_number_of_channels_and_classes_can_be_trained(phantom_dataset, tmp_path, in_channels):
    items = json.loads((phantom_dataset / "datalist.json").read_text())
    content = {
        section: [{**item, "class": item["class"] == 3} for item in items[section]]
        for section in ("training", "validation")
    }
    for section in content.values():
        for item in section:
            item["class"] = int(item["class"])
    path = phantom_dataset / f"two_classes_{in_channels}.json"
    path.write_text(json.dumps(content))
    workflow = train(
        phantom_dataset,
        tmp_path,
        epochs=1,
        datalist=str(path),
        in_channels=in_channels,
        class_names=["tumor", "no_tumor"],
        **FLAT,
    )
    assert last(tmp_path)["network"]["classifier.weight"].shape[0] == 2
    assert last(tmp_path)["network"]["features.weight"].shape[1] == in_channels
    assert workflow.evaluator.state.metrics["val_accuracy"] >= 0


def test_a_broken_datalist_stops_the_training_before_it_starts(phantom_dataset, tmp_path):
    items = json.loads((phantom_dataset / "datalist.json").read_text())
    items["training"][0]["image"] = "gone_1.png"
    items["validation"][1]["class"] = "astrocytoma"
    path = phantom_dataset / "broken.json"
    path.write_text(json.dumps(items))
    with told(r"2 problem.*gone_1\.png.*astrocytoma", InputErrors):
        train(phantom_dataset, tmp_path, datalist=str(path), **FLAT)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(("overlays", "epochs"), [((), 11), (("recipes/progressive",), 12)])
def test_early_stopping_leaves_a_progressive_training_its_last_stages(overlays, epochs, phantom_dataset, tmp_path):
    # nothing is learnt, so no epoch is better than the first; validated at a size that it has not trained at yet, a
    # progressive training looks just like that
    workflow = train(phantom_dataset, tmp_path, *overlays, epochs=12, learning_rate=0.0, **FLAT)
    assert workflow.trainer.state.epoch == epochs


@pytest.mark.parametrize("overrides", [{}, {"ema_decay": 0.9, "weight_decay_on": "matrices"}])
def test_no_step_of_training_or_validation_waits_for_the_device(phantom_dataset, tmp_path, overrides):
    options = {"epochs": 1, **FLAT, "batch_size": 4, **overrides}
    workflow = make_workflow("train", **places(phantom_dataset, tmp_path), **options)
    workflow.initialize()
    watch, watched = Watch(), []

    def begin(engine):
        if engine.state.iteration == 1:
            watch.__enter__()

    def end(engine):  # after all handlers of the first step
        if engine.state.iteration == 1:
            watch.__exit__(None, None, None)
            watched.append(type(engine).__name__)

    for engine in (workflow.trainer, workflow.evaluator):
        engine.add_event_handler(Events.ITERATION_STARTED, begin)
        engine.add_event_handler(Events.GET_BATCH_STARTED, end)
    workflow.run()
    assert watched == ["SupervisedTrainer", "SupervisedEvaluator"]
    assert watch.waits == []


def test_the_watch_sees_what_waits():
    values = torch.arange(4.0)
    with Watch() as watch:
        _ = values[values > 1], float(values.sum()), bool((values > 1).any()), torch.nonzero(values)
    assert len(watch.waits) == 4
