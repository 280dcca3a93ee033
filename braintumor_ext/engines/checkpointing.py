"""Files of a training: model.pt, the best weights, and last.pt, everything to resume."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import CheckpointLoader
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from braintumor_ext.calibration import set_stale_calibration_aside
from braintumor_ext.engines.weight_averaging import WeightAveraging
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing, set_aside, sha256_of
from braintumor_ext.flags import as_bool
from braintumor_ext.networks import load_pretrained, write_settings

logger = logging.getLogger(__name__)

BEST = "model.pt"
LAST = "last.pt"


def save_state(state: Any, path: Path) -> None:
    """Write ``state`` by ``torch.save``, whole or not at all."""
    with replacing(path) as partial:
        torch.save(state, partial)


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu() for key, value in network.state_dict().items()}


class TrainingFiles:
    """Start or resume a training, and keep its files: a handler of the trainer.

    ``model.pt`` is the flat state dict with the best key metric: of the average where the weights are averaged.
    ``last.pt`` holds, after each epoch, the weights and their average, optimizer, schedule, loss scaler, epoch, best
    metric and history, and the SHA-256 of its ``model.pt``. Both are replaced atomically.

    Files of another training are renamed, never overwritten, when the first epoch is saved: until then another handler
    can load them, and a training that fails at once leaves them where they are. A ``calibration.json`` that belongs to
    another ``model.pt`` is renamed when a new one is saved.

    Args:
        ckpt_dir: the folder of both files.
        network: the network that is trained (unwrapped, not the distributed wrapper).
        optimizer: its optimizer.
        lr_scheduler: its schedule, stepped before this handler runs.
        evaluator: the validation's engine, with ``best_metric`` and ``best_metric_epoch`` in its state.
        averaging: the average of the weights; None for none.
        resume: go on from ``last.pt``; ``auto``: where there is one. Otherwise a new training starts.
        pretrained: weights for the encoder of a new training; see :func:`~braintumor_ext.networks.load_pretrained`.
        extra_state: further objects with ``state_dict`` and ``load_state_dict``, such as the history.
        settings: what a reader of ``model.pt`` must know to use it; written beside it as ``training.json``.
        rank: the process's rank; only rank 0 writes.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike[str],
        network: nn.Module,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler,
        evaluator: SupervisedEvaluator,
        averaging: WeightAveraging | None = None,
        resume: bool | str = False,
        pretrained: bool | str = False,
        extra_state: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        rank: int = 0,
    ) -> None:
        self.folder = Path(ckpt_dir)
        self.network, self.optimizer, self.lr_scheduler, self.evaluator = network, optimizer, lr_scheduler, evaluator
        self.averaging = averaging or WeightAveraging(network, evaluator)
        self.resume = (self.folder / LAST).is_file() if resume == "auto" else as_bool(resume)
        self.pretrained = pretrained
        self.extra_state = dict(extra_state or {})
        self.settings = dict(settings or {})
        self.rank = rank
        self.best_sha256: str | None = None
        self._scaler_state: dict | None = None
        self._saved_before = False

    def attach(self, engine: SupervisedTrainer) -> None:
        """Attach to the trainer, last of all its handlers."""
        engine.add_event_handler(Events.STARTED, self._restore_scaler)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def begin(self, trainer: SupervisedTrainer, handlers: Sequence[Any] = ()) -> bool:
        """Prepare the run: load the state to resume, or the pretrained weights of a new training.

        Args:
            trainer: what is about to run.
            handlers: its handlers; with a ``CheckpointLoader`` among them, as MONAI Label adds one, the weights come
                from its checkpoint and no pretrained ones are fetched.

        Returns:
            Whether there is an epoch to run. The engine itself would take a finished training for a new one.

        Raises:
            InputError: when there is nothing to resume, or the pretrained weights cannot be had.
        """
        if self.resume:
            return self._resume(trainer)
        if loaders := [handler for handler in handlers if isinstance(handler, CheckpointLoader)]:
            self.settings["pretrained"] = str(loaders[0].load_path)  # what the weights really come from
        else:
            load_pretrained(self.network, self.pretrained)
        if self.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
        return True

    def _resume(self, trainer: SupervisedTrainer) -> bool:
        path = self.folder / LAST
        if not path.is_file():
            raise InputError(path, "nothing to resume", "Start a new training (--resume false) or give its --ckpt_dir")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
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
        trainer.state.epoch = epoch
        # counted in this run's batches, which may be of another size than those before
        trainer.state.iteration = epoch * (trainer.state.epoch_length or int(state["epoch_length"]))
        self.evaluator.state.best_metric = best["metric"]
        self.evaluator.state.best_metric_epoch = best["epoch"]
        self._scaler_state = state.get("scaler")
        for name, part in self.extra_state.items():
            if name in state:
                part.load_state_dict(state[name])
        self.best_sha256 = best["sha256"]
        if epoch >= trainer.state.max_epochs:
            logger.info("%s has all of its %d epochs: give a larger --epochs to prolong it.", path, epoch)
            return False
        logger.info("Resuming after epoch %d of %s; best %s at epoch %s.", epoch, path, best["metric"], best["epoch"])
        return True

    def _restore_scaler(self, engine: SupervisedTrainer) -> None:
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and self._scaler_state:
            scaler.load_state_dict(self._scaler_state)

    def _set_others_aside(self) -> None:
        """Rename what this training did not write: ``model.pt`` by its hash, ``last.pt`` of another training."""
        best = self.folder / BEST
        if best.exists() and sha256_of(best) != self.best_sha256:
            set_aside(best)
        if not (self.resume or self._saved_before):
            set_aside(self.folder / LAST)
        self._saved_before = True

    def save(self, engine: SupervisedTrainer) -> None:
        """Write ``last.pt``, and ``model.pt`` if this epoch is the best."""
        if self.rank != 0:
            return
        state = self.evaluator.state
        is_best = state.best_metric_epoch == engine.state.epoch
        if is_best or not self._saved_before:
            self._set_others_aside()
        if is_best:
            save_state(_weights(self.averaging.average), self.folder / BEST)
            self.best_sha256 = sha256_of(self.folder / BEST)
            write_settings(self.folder / BEST, {**self.settings, "epoch": engine.state.epoch})
            set_stale_calibration_aside(self.folder / BEST)
        scaler = getattr(engine, "scaler", None)
        best_metric = state.best_metric
        save_state(
            {
                "network": _weights(self.network),
                "averaging": self.averaging.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "lr_scheduler": self.lr_scheduler.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else None,
                "epoch": engine.state.epoch,
                "epoch_length": engine.state.epoch_length,
                "best": {
                    "metric": float(best_metric) if best_metric is not None else None,
                    "epoch": int(state.best_metric_epoch),
                    "sha256": self.best_sha256,
                },
                **{name: part.state_dict() for name, part in self.extra_state.items()},
            },
            self.folder / LAST,
        )
