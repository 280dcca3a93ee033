"""The files of a training: model.pt, last.pt and training.json."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.handlers import CheckpointLoader

from braintumor_ext.engines import TrainingFiles, WarmupCosineLR
from braintumor_ext.engines.checkpointing import save_state
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.networks import check_settings, load_weights
from tests.engines.trainers import Weigh, make_evaluator, make_trainer, validating

CLASSES = ["glioma", "no_tumor"]


def train(folder: Path, scores, epochs, resume=False, network=None, rank=0, scaler=None, **settings):
    """Train a weight vector whose validations score as told; return its files' handler and the trainer."""
    network = network if network is not None else Weigh()
    evaluator = make_evaluator(scores, network)
    trainer = make_trainer([], epochs, rows=[(1.0, 0.5)], network=network)
    # MONAI's trainer makes its scaler when it starts
    trainer.add_event_handler(Events.STARTED, lambda engine: setattr(engine, "scaler", scaler))
    schedule = WarmupCosineLR(trainer.optimizer, epochs)
    validating(evaluator).attach(trainer)
    files = TrainingFiles(
        folder,
        network,
        trainer.optimizer,
        schedule,
        evaluator,
        resume=resume,
        settings={"class_names": CLASSES, "image_size": 64, **settings},
        rank=rank,
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: schedule.step())
    files.attach(trainer)
    files.begin(trainer)
    trainer.run()
    return files, trainer


def load(path: Path):
    return torch.load(path, weights_only=True)


def test_model_pt_holds_the_best_epochs_weights_and_last_pt_the_last_ones(tmp_path):
    network, seen = Weigh(), []
    network.register_forward_hook(lambda *_: seen.append(network.weight.detach().clone()))
    train(tmp_path, [0.2, 0.9, 0.3], 3, network=network)
    best, last = load(tmp_path / "model.pt"), load(tmp_path / "last.pt")
    assert list(best) == ["weight"]
    validated = seen[1::2]  # of each epoch: one step of training, then one of validation
    assert torch.equal(best["weight"], validated[1])
    assert torch.equal(last["network"]["weight"], validated[2])
    assert (last["epoch"], last["best"]["epoch"], last["best"]["metric"]) == (3, 2, 0.9)


def test_the_settings_belong_to_the_model_by_its_hash(tmp_path):
    train(tmp_path, [0.2, 0.9, 0.3], 3)
    settings = json.loads((tmp_path / "training.json").read_text())
    assert settings["sha256"] == hashlib.sha256((tmp_path / "model.pt").read_bytes()).hexdigest()
    assert settings["epoch"] == 2
    assert settings["class_names"] == CLASSES


def test_weights_that_a_checkpoint_loader_gives_are_not_fetched_anew(tmp_path):
    loader = CheckpointLoader(load_path=str(tmp_path / "earlier.pt"), load_dict={"model": Weigh()})
    trainer = make_trainer([], 1)
    schedule = WarmupCosineLR(trainer.optimizer, 1)
    parts = (tmp_path, trainer.network, trainer.optimizer, schedule, make_evaluator([0.5]))
    files = TrainingFiles(*parts, pretrained=str(tmp_path / "absent.pth"))
    with pytest.raises(InputError, match="no ImageNet weights for a Weigh"):  # so they were asked for
        files.begin(trainer)
    assert files.begin(trainer, [loader])
    assert files.settings["pretrained"] == str(tmp_path / "earlier.pt")


def test_other_class_names_are_refused_and_another_image_size_is_told(tmp_path, caplog):
    train(tmp_path, [0.5], 1)
    model = tmp_path / "model.pt"
    load_weights(Weigh(), model, {"class_names": tuple(CLASSES), "image_size": 64})
    assert not caplog.records
    with pytest.raises(InputError, match=r"trained for the classes glioma, no_tumor, not no_tumor, glioma\. Give --cl"):
        load_weights(Weigh(), model, {"class_names": CLASSES[::-1]})
    with caplog.at_level(logging.WARNING):
        load_weights(Weigh(), model, {"class_names": CLASSES, "image_size": 224})
    assert "trained with image_size 64, not 224: give --image_size 64" in caplog.text


def test_settings_of_another_model_are_not_held_against_this_one(tmp_path):
    train(tmp_path, [0.5], 1)
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt")
    check_settings(tmp_path / "model.pt", {"class_names": ["a", "b"]})


def test_a_checkpoint_of_another_network_is_refused_by_name(tmp_path):
    train(tmp_path, [0.5], 1)
    with pytest.raises(InputError, match=r"model\.pt: .*weight \(2,\) instead of \(5,\)"):
        load_weights(Weigh(5), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"last\.pt: not a flat state dict.*Give model\.pt"):
        load_weights(Weigh(), tmp_path / "last.pt")


def test_a_resumed_training_ends_like_one_that_ran_through(tmp_path):
    scores = [0.2, 0.9, 0.3, 0.1]
    _, through = train(tmp_path / "through", scores, 4)
    with pytest.raises(RuntimeError, match="StopIteration"):  # there is no third score: the third epoch fails
        train(tmp_path / "parts", scores[:2], 4)
    _, parts = train(tmp_path / "parts", scores[2:], 4, resume=True)
    assert parts.state.epoch == through.state.epoch == 4
    assert parts.state.iteration == through.state.iteration
    one, other = load(tmp_path / "through" / "last.pt"), load(tmp_path / "parts" / "last.pt")
    assert torch.equal(one["network"]["weight"], other["network"]["weight"])
    assert one["lr_scheduler"] == other["lr_scheduler"]
    assert one["best"] == other["best"]
    assert (one["best"]["metric"], one["best"]["epoch"]) == (0.9, 2)


def test_the_loss_scale_is_resumed(tmp_path):
    train(tmp_path, [0.1], 1, scaler=torch.amp.GradScaler("cpu", init_scale=512.0, growth_interval=7))
    resumed = torch.amp.GradScaler("cpu")
    train(tmp_path, [0.2], 2, resume=True, scaler=resumed)
    assert resumed.get_scale() == 512.0
    assert resumed.get_growth_interval() == 7


def test_a_training_with_scaling_can_go_on_without_and_the_other_way_round(tmp_path):
    train(tmp_path, [0.1], 1, scaler=torch.amp.GradScaler("cpu"))
    train(tmp_path, [0.2], 2, resume=True)
    train(tmp_path, [0.3], 3, resume=True, scaler=torch.amp.GradScaler("cpu"))
    assert load(tmp_path / "last.pt")["epoch"] == 3


def test_a_resumed_training_with_no_better_epoch_keeps_its_model(tmp_path):
    train(tmp_path, [0.9], 1)
    before = (tmp_path / "model.pt").read_bytes()
    train(tmp_path, [0.1, 0.2], 3, resume=True)
    assert (tmp_path / "model.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "model.pt", "training.json"]


def test_resuming_beside_a_model_of_another_training_keeps_it_under_another_name(tmp_path, caplog):
    train(tmp_path, [0.1], 1)
    (tmp_path / "model.pt").write_bytes(b"another's")
    train(tmp_path, [0.9], 2, resume=True)
    (kept,) = (path for path in tmp_path.glob("model.*.pt"))
    assert kept.read_bytes() == b"another's"
    assert kept.name in caplog.text
    load(tmp_path / "model.pt")


def test_a_calibration_of_another_model_is_set_aside_when_a_new_one_is_saved(tmp_path, caplog):
    train(tmp_path, [0.5], 1)
    calibration = tmp_path / "calibration.json"
    own = json.dumps({"sha256": hashlib.sha256((tmp_path / "model.pt").read_bytes()).hexdigest()})
    calibration.write_text(own)
    train(tmp_path, [0.1], 2, resume=True)  # no better epoch: the model stays, and its calibration
    assert calibration.read_text() == own
    train(tmp_path, [0.9], 3, resume=True)
    assert not calibration.exists()
    (kept,) = tmp_path.glob("calibration.*.json")
    assert kept.read_text() == own
    assert kept.name in caplog.text


def test_many_trainings_one_after_another_lose_nothing(tmp_path):
    for score in (0.1, 0.2, 0.3):
        train(tmp_path, [score], 1)
    assert len(list(tmp_path.glob("model*.pt"))) == 3
    assert len(list(tmp_path.glob("last*.pt"))) == 3


def test_a_kill_while_saving_leaves_the_old_file_whole(tmp_path):
    train(tmp_path, [0.5], 1)
    before = load(tmp_path / "last.pt")
    # what a kill leaves behind: the part that was written, under its temporary name
    whole = (tmp_path / "last.pt").read_bytes()
    with replacing(tmp_path / "last.pt") as partial:
        name = partial.name
        partial.write_bytes(whole)
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert load(tmp_path / "last.pt")["epoch"] == before["epoch"] == 1
    train(tmp_path, [0.9], 2, resume=True)
    assert load(tmp_path / "last.pt")["epoch"] == 2


def test_an_error_while_saving_leaves_the_old_file_and_no_rubbish(tmp_path):
    save_state({"epoch": 1}, tmp_path / "last.pt")

    class Unpicklable:
        def __reduce__(self):
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        save_state({"epoch": Unpicklable()}, tmp_path / "last.pt")
    assert load(tmp_path / "last.pt") == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("content", [b"", b"half a fi", None])
def test_a_broken_last_pt_is_told(tmp_path, content):
    train(tmp_path, [0.5], 1)
    if content is None:
        content = (tmp_path / "last.pt").read_bytes()[:-200]
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"last\.pt: cannot be resumed"):
        train(tmp_path, [0.9], 2, resume=True)


def test_other_processes_write_nothing(tmp_path):
    train(tmp_path / "models", [0.5], 1, rank=1)
    assert not (tmp_path / "models").exists()
