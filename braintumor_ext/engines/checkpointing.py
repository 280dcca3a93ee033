"""Files of a training: model.pt, the best weights, and last.pt, everything to resume."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import CheckpointLoader
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from braintumor_ext.calibration import set_stale_calibration_aside
from braintumor_ext.engines.history import TrainingHistory
from braintumor_ext.engines.state_file import BackgroundWriter, read_state, snapshot, write_state
from braintumor_ext.engines.weight_averaging import WeightAveraging
from braintumor_ext.errors import InputError, causes_of, disk_full
from braintumor_ext.files import backup_existing, remove_partials, replacing, sha256_of
from braintumor_ext.flags import as_bool
from braintumor_ext.networks import load_pretrained, read_settings, write_settings
from braintumor_ext.networks.settings import SETTINGS, settings_text

logger = logging.getLogger(__name__)

BEST = "model.pt"
LAST = "last.pt"
LOCK = ".training.lock"
_LONE_SLICE = "Expected more than 1 value per channel when training"  # torch's words


class TrainingFiles:
    """Start or resume a training, and keep its files: a handler of the trainer.

    ``model.pt`` is the flat state dict with the best key metric: of the average where the weights are averaged.
    ``last.pt`` holds, after each epoch, the weights and their average, optimizer, schedule, loss scaler, epoch, best
    metric and history, and the SHA-256 of its ``model.pt``.

    After an epoch the state is copied, and written beside the next epoch; the next one's is not copied before. All
    files of an epoch are written under other names and flushed to the disk, then put in place: ``last.pt``,
    ``model.pt``, ``training.json``. A kill between two of these is mended when the training is resumed: the best
    weights are then those of ``last.pt``. An error while writing ends the training when the epoch under way has ended.

    Files of another training are renamed, never overwritten, when new ones take their place: until then another handler
    can load them, and a training that fails at once leaves them where they are. A ``calibration.json`` that belongs to
    another ``model.pt`` is renamed when a new one is saved. While a training runs, another one in the same folder is
    refused.

    Args:
        network: the network that is trained (unwrapped, not the distributed wrapper).
        lr_scheduler: its schedule, stepped before this handler runs.
        evaluator: the validation's engine, with ``best_metric`` and ``best_metric_epoch`` in its state.
        averaging: the average of the weights, attached with these files; None for none.
        history: the epochs' table and curves, attached with these files; None for none.
        resume: go on from ``last.pt``; ``auto``: where there is one. Otherwise a new training starts.
        settings: what a reader of ``model.pt`` must know to use it; written beside it as ``training.json``.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike[str],
        network: nn.Module,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler,
        evaluator: SupervisedEvaluator,
        averaging: WeightAveraging | None = None,
        history: TrainingHistory | None = None,
        resume: bool | str = False,
        pretrained: bool | str = False,
        settings: Mapping[str, Any] | None = None,
        rank: int = 0,
    ) -> None:
        self.folder = Path(ckpt_dir)
        self.network, self.optimizer, self.lr_scheduler, self.evaluator = network, optimizer, lr_scheduler, evaluator
        self.averaging, self.history = averaging or WeightAveraging(network, evaluator), history
        self.resume = (self.folder / LAST).is_file() if resume == "auto" else as_bool(resume)
        self.pretrained, self.settings, self.rank = pretrained, dict(settings or {}), rank
        self.best_sha256: str | None = None
        self.saved_epoch = 0  # the epoch of the ``last.pt`` that is in place; 0 while there is none of this training
        self._replaced_sha256: str | None = None
        self._writer = BackgroundWriter()
        self._snapshot: Any = None
        self._lock = FileLock(self.folder / LOCK, timeout=0)

    def attach(self, engine: SupervisedTrainer) -> None:
        """Attach to the trainer, and with it the average and the history; before what looks at the state at the start.

        Attach it after the handlers whose work an epoch's files hold: validation and the learning rate's schedule.
        """
        engine.add_event_handler(Events.STARTED, self.start)
        for part in (self.averaging, self.history):
            if part is not None:
                part.attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._finish_and_raise)

    def start(self, engine: SupervisedTrainer) -> None:
        """Load the state to resume, or the pretrained weights of a new training.

        Where the trainer has a ``CheckpointLoader``, as MONAI Label adds one, the weights come from its checkpoint and
        no pretrained ones are fetched. A training that has all of its epochs ends without another one.

        Raises:
            InputError: when there is nothing to resume, the pretrained weights cannot be had, or another training
                writes into the folder.
        """
        if self.resume:
            if not (self.folder / LAST).is_file():
                remedy = "Start a new training (--resume false) or give its --ckpt_dir"
                raise InputError(self.folder / LAST, "nothing to resume", remedy)
            self._resume(engine)
            return
        handlers = (handler for handler, *_ in engine._event_handlers[Events.STARTED])  # ignite has no public way
        if loader := next((handler for handler in handlers if isinstance(handler, CheckpointLoader)), None):
            self.settings["pretrained"] = str(loader.load_path)  # what the weights really come from
        else:
            load_pretrained(self.network, self.pretrained)
        self._take_folder()

    def _take_folder(self) -> None:
        if self.rank != 0:
            return
        with self._telling(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                remedy = "Give another --ckpt_dir, or wait until it has ended"
                raise InputError(self.folder, "another training is writing into it", remedy) from None
            remove_partials(self.folder)

    def _release(self) -> None:
        if self._lock.is_locked:
            (self.folder / LOCK).unlink(missing_ok=True)  # nobody waits for it: others are refused at once
            self._lock.release()

    def _resume(self, trainer: SupervisedTrainer) -> None:
        self._take_folder()
        path = self.folder / LAST
        try:
            state = read_state(path)
        except (zipfile.BadZipFile, ValueError) as error:
            problem = f"cannot be resumed ({error})"
            remedy = "Give the --ckpt_dir of a training that wrote one, or start anew with --resume false"
            raise InputError(path, problem, remedy) from error
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.lr_scheduler.load_state_dict(state["lr_scheduler"])
            epoch = int(state["epoch"])
            best = state["best"]
            self.averaging.load_state_dict(state.get("averaging", {}))
        except Exception as error:
            raise InputError(
                path,
                f"cannot be resumed ({type(error).__name__}: {str(error).partition(chr(10))[0]})",
                "Give the class_names, in_channels, image_size and weight_decay_on that the training began with, or "
                "start a new one",
            ) from error
        trainer.state.epoch = self.saved_epoch = epoch
        # counted in this run's batches, which may be of another size than those before
        trainer.state.iteration = epoch * (trainer.state.epoch_length or int(state["epoch_length"]))
        self.evaluator.state.best_metric = best["metric"]
        self.evaluator.state.best_metric_epoch = best["epoch"]
        scaler = getattr(trainer, "scaler", None)
        if scaler is not None and state.get("scaler"):
            scaler.load_state_dict(state["scaler"])
        if self.history is not None and "history" in state:
            self.history.load_state_dict(state["history"])
        self.best_sha256 = best["sha256"]
        if self.rank == 0:
            self._mend(state)
        if epoch >= trainer.state.max_epochs:
            logger.info("%s has all of its %d epochs: give a larger --epochs to prolong it.", path, epoch)
        else:
            text = "Resuming after epoch %d of %s; best %s at epoch %s."
            logger.info(text, epoch, path, best["metric"], best["epoch"])

    def _mend(self, state: Mapping[str, Any]) -> None:
        """Put in place what a kill has kept from it: ``model.pt`` and its settings."""
        path, best = self.folder / BEST, state["best"]
        if best["sha256"] is None:
            return
        self._replaced_sha256 = best.get("replaced_sha256")
        with self._telling(path):
            if path.is_file() and sha256_of(path) == best["sha256"]:
                if not _has_settings(path):
                    write_settings(path, {**self.settings, "epoch": best["epoch"]})
            elif best["epoch"] == state["epoch"]:
                with ExitStack() as files:
                    self.best_sha256 = self._write_best(state, files)
                    self._keep_others_model(self._replaced_sha256)
            else:
                logger.warning("%s is not the best of this training, that of epoch %d.", path, best["epoch"])

    def save(self, engine: SupervisedTrainer) -> None:
        """Copy the state, and let ``last.pt`` be written of it, and ``model.pt`` if this epoch is the best."""
        if self.rank != 0:
            return
        self._writer.wait()  # the copy that is being written must not change
        scaler = getattr(engine, "scaler", None)
        metric, best_epoch = self.evaluator.state.best_metric, self.evaluator.state.best_metric_epoch
        state = {
            "network": self.network.state_dict(),
            "averaging": self.averaging.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "epoch": engine.state.epoch,
            "epoch_length": engine.state.epoch_length,
            "best": {"metric": None if metric is None else float(metric), "epoch": int(best_epoch)},
            "history": self.history.state_dict() if self.history is not None else {},
        }
        self._snapshot = snapshot(state, self._snapshot)
        self._writer.submit(partial(self._write, self._snapshot))

    def _write(self, state: Mapping[str, Any]) -> None:
        best = {**state["best"], "sha256": self.best_sha256, "replaced_sha256": self._replaced_sha256}
        is_best = best["epoch"] == state["epoch"]
        with self._telling(self.folder / LAST):
            with ExitStack() as files:  # the last one entered is put in place first
                if is_best:
                    best["sha256"], best["replaced_sha256"] = self._write_best(state, files), self.best_sha256
                write_state({**state, "best": best}, files.enter_context(replacing(self.folder / LAST)))
                if is_best:
                    self._keep_others_model(self.best_sha256)
                if not (self.resume or self.saved_epoch):
                    backup_existing(self.folder / LAST, until_replaced=True)
            self.best_sha256, self._replaced_sha256 = best["sha256"], best["replaced_sha256"]
            self.saved_epoch = state["epoch"]
            if is_best:
                set_stale_calibration_aside(self.folder / BEST)

    def _write_best(self, state: Mapping[str, Any], files: ExitStack) -> str:
        """Write a state's weights and their settings, to be put in place by ``files``; return the weights' SHA-256."""
        settings = files.enter_context(replacing(self.folder / SETTINGS))
        best = files.enter_context(replacing(self.folder / BEST))
        write_state(state.get("averaging", {}).get("network", state["network"]), best)
        sha256 = sha256_of(best)
        text = settings_text({**self.settings, "epoch": state["epoch"]}, BEST, sha256)
        settings.write_text(text, encoding="utf-8")
        return sha256

    def _keep_others_model(self, own_sha256: str | None) -> None:
        """Keep under another name what is about to be replaced, unless this training wrote it."""
        path = self.folder / BEST
        if path.is_file() and sha256_of(path) != own_sha256:
            backup_existing(path, until_replaced=True)

    @contextmanager
    def _telling(self, path: Path) -> Iterator[None]:
        """Turn an error of the file system into one that tells the path and what is kept."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            failed = next((cause for cause in causes_of(error) if isinstance(cause, OSError)), None)
            if failed is None:
                raise
            kept = f"go on by --resume true: epoch {self.saved_epoch} is kept"
            remedy = f"See to it, then {kept if self.saved_epoch else 'begin anew: no epoch is saved yet'}"
            raise InputError(path, failed.strerror or str(failed), remedy) from error

    def finish(self, engine: SupervisedTrainer | None = None) -> None:
        """Wait until all is written, and leave the folder to others."""
        try:
            self._writer.wait()
        finally:
            self._release()

    def _finish_and_raise(self, engine: SupervisedTrainer, error: BaseException) -> None:
        try:
            self.finish()
        except InputError as failed:
            logger.error("%s", failed)  # beside the error that ends the training
        if (full := disk_full(error)) is not None:  # another handler's: the history, the curves, TensorBoard
            with self._telling(Path(full.filename or self.folder)):
                raise error
        raise lone_slice_error(error) or error


def _has_settings(path: Path) -> bool:
    try:
        return bool(read_settings(path))
    except InputError:  # those of the file that was there before
        return False


def lone_slice_error(error: BaseException) -> InputError | None:
    """Return what to say where a training ended at a batch of one slice; None for any other error.

    Batch normalisation cannot learn from one slice where its features are one cell.
    """
    cause = next((c for c in causes_of(error) if str(c).startswith(_LONE_SLICE)), None)
    if cause is None:
        return None
    found = InputError(
        "--batch_size",
        "leaves a batch of one slice, which batch normalisation cannot learn from at an image_size this small",
        "Give a --batch_size that leaves a last batch of two or more, or an --image_size of 64 or more",
    )
    found.__cause__ = cause
    return found
