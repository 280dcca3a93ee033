"""The files of a training: model.pt, last.pt and training.json."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import resource
import shutil
import threading
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.handlers import CheckpointLoader

from braintumor_ext.engines import TrainingFiles, WarmupCosineLR
from braintumor_ext.engines.state_file import write_state
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.networks import check_settings, load_weights
from tests.engines.trainers import Weigh, make_evaluator, make_trainer, validating

CLASSES = ["glioma", "no_tumor"]


def train(
    folder: Path,
    scores,
    epochs,
    resume=False,
    network=None,
    rank=0,
    scaler=None,
    handler=None,
    epoch_handler=None,
    **kwargs,
):
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
        settings={"class_names": CLASSES, "image_size": 64},
        rank=rank,
        **kwargs,
    )
    if handler is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, handler)
    if epoch_handler is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, epoch_handler)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: schedule.step())
    files.attach(trainer)
    trainer.run()
    return files, trainer


def load(path: Path):
    return torch.load(path, weights_only=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Part:
    """A history that does something when it is written, in the epochs that are told."""

    def __init__(self, action, epochs=(1, 2, 3)):
        self.action, self.epochs, self.epoch = action, epochs, 0

    def attach(self, engine):
        pass

    def state_dict(self):
        self.epoch += 1
        return {"part": self if self.epoch in self.epochs else None}

    def load_state_dict(self, state):
        pass

    def __reduce__(self):
        self.action()
        return OrderedDict, ()


def whole(folder: Path) -> bool:
    """Whether the three files of a training belong together."""
    digest = hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest()
    settings = json.loads((folder / "training.json").read_text())
    return load(folder / "last.pt")["best"]["sha256"] == digest == settings["sha256"]


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


@pytest.mark.parametrize("loads", [False, True])
def test_weights_that_a_checkpoint_loader_gives_are_not_fetched_anew(tmp_path, loads):
    earlier = tmp_path / "earlier.pt"
    torch.save({"weight": torch.full((2,), 7.0)}, earlier)
    network = Weigh()
    trainer = make_trainer([], 1, network=network, rate=0.0)
    if loads:
        CheckpointLoader(load_path=str(earlier), load_dict={"model": network}).attach(trainer)
    parts = (tmp_path, network, trainer.optimizer, WarmupCosineLR(trainer.optimizer, 1), make_evaluator([0.5]))
    files = TrainingFiles(*parts, pretrained=str(tmp_path / "absent.pth"))
    files.attach(trainer)
    if not loads:
        with pytest.raises(InputError, match="no ImageNet weights for a Weigh"):  # so they were asked for
            trainer.run()
        assert names(tmp_path) == ["earlier.pt"]
        return
    trainer.run()
    assert files.settings["pretrained"] == str(earlier)
    assert load(tmp_path / "last.pt")["network"]["weight"].tolist() == [7.0, 7.0]


def test_a_training_that_has_all_its_epochs_is_left_as_it_is(tmp_path):
    train(tmp_path, [0.2, 0.9], 2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _, trainer = train(tmp_path, [], 2, resume=True)
    assert trainer.state.epoch == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


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


def test_settings_of_another_model_are_told_and_none_are_held_against_nothing(tmp_path):
    train(tmp_path, [0.5], 1)
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"not the file that training\.json beside it is of.*remove training\.json"):
        check_settings(tmp_path / "model.pt", {"class_names": ["a", "b"]})
    (tmp_path / "training.json").unlink()
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
    assert names(tmp_path) == ["last.pt", "model.pt", "training.json"]


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


def test_what_killed_trainings_have_left_is_removed(tmp_path):
    (tmp_path / ".last.pt.123.partial").write_bytes(b"half")
    train(tmp_path, [0.5], 1)
    assert names(tmp_path) == ["last.pt", "model.pt", "training.json"]


@pytest.mark.parametrize("replaced", [0, 1, 2, 3])
def test_a_kill_while_files_are_put_in_place_is_mended_by_resuming(tmp_path, monkeypatch, replaced):
    class Killed(BaseException):
        pass

    through = tmp_path / "through"
    train(through, [0.2, 0.9, 0.3], 3)
    killed = tmp_path / "killed"
    with pytest.raises(RuntimeError, match="StopIteration"):  # there is no second score
        train(killed, [0.2], 3)
    replace, done = os.replace, []

    def counted(source, target):
        if len(done) == replaced:
            raise Killed
        done.append(target)
        replace(source, target)

    monkeypatch.setattr("braintumor_ext.files.os.replace", counted)
    with pytest.raises((Killed, RuntimeError)):
        train(killed, [0.9], 3, resume=True)
    monkeypatch.undo()
    load(killed / "model.pt")  # whatever was reached, each file is whole
    epoch = load(killed / "last.pt")["epoch"]
    assert epoch == (1 if replaced == 0 else 2)
    train(killed, [0.9, 0.3][epoch - 1 :], 3, resume=True)
    assert names(killed) == ["last.pt", "model.pt", "training.json"]
    assert whole(killed)
    assert load(killed / "last.pt")["best"]["epoch"] == 2
    assert (killed / "model.pt").read_bytes() == (through / "model.pt").read_bytes()


@pytest.mark.parametrize("score", [0.05, 0.95])
def test_a_model_that_is_newer_than_last_pt_never_leaves_none(tmp_path, score):
    # as trainings of before 0.5 leave it when they are killed between the two
    train(tmp_path, [0.1], 1)
    shutil.copy(tmp_path / "last.pt", tmp_path / "old")
    train(tmp_path, [0.9], 2, resume=True)
    newer = (tmp_path / "model.pt").read_bytes()
    shutil.move(tmp_path / "old", tmp_path / "last.pt")
    train(tmp_path, [score], 2, resume=True)
    assert whole(tmp_path)
    (kept,) = tmp_path.glob("model.*.pt")
    assert kept.read_bytes() == newer


def test_a_training_goes_on_while_its_files_are_written(tmp_path):
    network, seen, opened = Weigh(), [], threading.Event()

    def look(engine):
        if engine.state.epoch == 1:
            seen.append(network.weight.detach().clone())
        else:  # the second epoch has changed the weights, and the first one is not yet written
            seen.append(names(tmp_path / "models"))
            opened.set()
            raise RuntimeError("enough")

    part = Part(lambda: opened.wait(60))
    with pytest.raises(RuntimeError, match="enough"):
        train(tmp_path / "models", [0.5, 0.6], 2, network=network, handler=look, history=part)
    assert "last.pt" not in seen[1]
    assert not torch.equal(network.weight, seen[0])
    last = load(tmp_path / "models" / "last.pt")
    assert last["epoch"] == 1
    assert torch.equal(last["network"]["weight"], seen[0])
    assert torch.equal(load(tmp_path / "models" / "model.pt")["weight"], seen[0])


@pytest.mark.parametrize("epochs", [2, 3])
def test_an_error_while_writing_ends_the_training_and_tells_what_is_kept(tmp_path, epochs):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    told = r"last\.pt: No space left on device\. See to it, then go on by --resume true: epoch 1 is kept\."
    with pytest.raises(InputError, match=told):
        train(tmp_path, [0.5, 0.9, 0.1], epochs, history=Part(full, [2]))
    assert names(tmp_path) == ["last.pt", "model.pt", "training.json"]
    assert whole(tmp_path)
    assert load(tmp_path / "last.pt")["epoch"] == 1
    train(tmp_path, [0.9, 0.1], 3, resume=True)
    assert load(tmp_path / "last.pt")["best"]["epoch"] == 2


def test_a_file_that_the_system_does_not_take_is_told(tmp_path):
    class Large(Part):
        def state_dict(self):
            return {"values": torch.zeros(1_000_000)}

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(
            InputError, match=r"last\.pt: File too large\. See to it, then begin anew: no epoch is saved"
        ):
            train(tmp_path, [0.5], 1, history=Large(None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_equal_states_give_equal_bytes_under_any_name(tmp_path):
    state = {"weight": torch.arange(5.0), "epoch": 3}
    for name in ("model.pt", ".model.pt.4711.partial"):
        write_state(state, tmp_path / name)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_two_trainings_at_once_into_one_folder_are_refused(tmp_path):
    def second(engine):
        with pytest.raises(InputError, match=r"another training is writing into it\. Give another --ckpt_dir"):
            train(tmp_path, [0.9], 2, resume=tmp_path.joinpath("last.pt").is_file())

    train(tmp_path, [0.5], 1, handler=second)
    train(tmp_path, [0.6], 2, handler=second, resume=True)
    assert names(tmp_path) == ["last.pt", "model.pt", "training.json"]


@pytest.mark.parametrize("content", [b"", b"half a fi", None])
def test_a_broken_last_pt_is_told(tmp_path, content):
    train(tmp_path, [0.5], 1)
    if content is None:
        content = (tmp_path / "last.pt").read_bytes()[:-200]
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"last\.pt: cannot be resumed"):
        train(tmp_path, [0.9], 2, resume=True)


def test_a_damaged_byte_of_last_pt_is_noticed(tmp_path):
    train(tmp_path, [0.5], 1)
    content = bytearray((tmp_path / "last.pt").read_bytes())
    place = bytes(content).index(load(tmp_path / "last.pt")["network"]["weight"].numpy().tobytes())
    content[place] ^= 1
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"last\.pt: cannot be resumed .*is damaged"):
        train(tmp_path, [0.9], 2, resume=True)


def test_a_strangers_last_pt_is_told_without_advice_to_load_it_unsafely(tmp_path):
    torch.save({"network": Path}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="holds more than tensors and plain values") as told:
        train(tmp_path, [0.9], 2, resume=True)
    assert "weights_only" not in str(told.value)


def test_other_processes_write_nothing(tmp_path):
    train(tmp_path / "models", [0.5], 1, rank=1)
    assert not (tmp_path / "models").exists()
