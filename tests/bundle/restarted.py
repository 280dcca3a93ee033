"""One of several processes that train, die and are started again by ``torchrun``, for a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ignite.engine import Events

from tests.bundle.workflows import FLAT, make_workflow, places

EPOCHS = 3


def main(dataset_dir: Path, folder: Path, datalist: str) -> None:
    """Train in ``folder/through``; and in ``folder/parts``, dying in the midst of the second epoch, to be restarted."""
    options = {"pipeline": "fast", "cache_dir": str(folder / "cache"), "datalist": datalist, "batch_size": 2}
    options |= {"epochs": EPOCHS, "patience": 0, "ema_decay": 0.9, "resume": "auto", **FLAT}

    def make(name):
        workflow = make_workflow("train", "multi_gpu_train", **{**places(dataset_dir, folder / name), **options})
        workflow.initialize()
        return workflow

    def die(engine):
        if engine.state.epoch == 2 and engine.state.iteration % engine.state.epoch_length == 2:
            raise SystemExit("killed, for a test")

    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first:
        make("through").run()
    parts = make("parts")
    if first:
        parts.trainer.add_event_handler(Events.ITERATION_STARTED, die)
    parts.run()
    parts.finalize()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
