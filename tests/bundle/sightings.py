"""Handlers that write down what an engine has seen."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents


class Sightings:
    """Append one line for each batch: epoch, process and files, or the slices' hashes where they are bytes.

    Args:
        folder: where ``seen.<rank>.jsonl`` is written, one file for each process.
    """

    def __init__(self, folder: str) -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.path = Path(folder) / f"seen.{self.rank}.jsonl"

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer whose images keep their metadata, or are those of the fast pipeline."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write down one batch."""
        images = engine.state.batch["image"]
        if images.dtype == torch.uint8:
            files = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in images]
        else:
            files = [Path(name).name for name in images.meta["filename_or_obj"]]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": engine.state.epoch, "rank": self.rank, "files": files}) + "\n")


class ValidatedWeights:
    """Write down which weights and running statistics an evaluator has validated, by their hash.

    Args:
        folder: where ``validated.<rank>.txt`` is written, one line for each validation.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / f"validated.{os.environ.get('RANK', 0)}.txt"

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write down the weights of one validation."""
        digest = hashlib.sha256()
        for value in engine.network.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
        with self.path.open("a", encoding="utf-8") as file:
            file.write(digest.hexdigest() + "\n")
