"""Trainings and inferences that are killed at any moment go on to what they would have been."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.engines.test_checkpointing import train, whole
from tests.engines.trainers import Weigh
from tests.inference.writing import block, run, with_heat
from tests.reliability.children import REFUSED, contents, kill_at_random, start
from tests.reliability.conftest import share_of

pytestmark = pytest.mark.reliability

SCORES = [0.1, 0.5, 0.4, 0.7, 0.6, 0.65, 0.9, 0.8]
EPOCHS = len(SCORES)


def _slowly(engine: object) -> None:
    time.sleep(0.03)


def _train(folder: Path) -> None:
    """Train, or go on: validations score by the epoch, and so a resumed one gets the rest of the scores."""
    done = 0
    if (folder / "last.pt").is_file():
        done = torch.load(folder / "last.pt", weights_only=True)["epoch"]
    if done < EPOCHS:
        # large enough for writing to take a while
        train(folder, SCORES[done:], EPOCHS, resume="auto", network=Large(), handler=_slowly)


class Large(Weigh):
    """A weight vector, and a million more that nothing changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("more", torch.zeros(1_000_000))


def test_killed_trainings_end_like_one_that_ran_through(tmp_path: Path, figures: dict[str, str]) -> None:
    begun = time.monotonic()
    process = start(_train, tmp_path / "through")
    process.join(120)
    assert process.exitcode == 0
    lasts = time.monotonic() - begun
    rng, kills, odd = random.Random(0), 0, 0
    wanted = share_of(20)
    while kills < wanted:
        folder = tmp_path / f"killed{kills}"
        while kills < wanted and kill_at_random(start(_train, folder), lasts * 0.7, rng):
            kills += 1
            odd += (folder / "last.pt").exists() and not _loads(folder)
        process = start(_train, folder)
        process.join(120)
        assert process.exitcode == 0
        assert whole(folder)
        for name in ("model.pt", "training.json"):
            assert (folder / name).read_bytes() == (tmp_path / "through" / name).read_bytes(), name
        assert not list(folder.glob(".*.partial"))
    figures["random kills of a training"] = (
        f"{kills}; files that could not be loaded after one: {odd}; weights differ: 0"
    )
    assert odd == 0


def _loads(folder: Path) -> bool:
    try:
        torch.load(folder / "last.pt", weights_only=True)
    except Exception:
        return False
    return True


def _predict(inputs: Path, output: Path) -> None:
    def hook(batch: torch.Tensor) -> dict:
        time.sleep(0.01)
        return with_heat(batch)

    writer = run(inputs, output, batch_size=2, network=hook, resume=True, threads=1)
    if not writer.remaining:
        writer.finish()


def test_killed_inferences_end_like_one_that_ran_through(tmp_path: Path, figures: dict[str, str]) -> None:
    (tmp_path / "in").mkdir()
    for number in range(40):
        Image.fromarray(block(40 + number % 5)).save(tmp_path / "in" / f"{number:02d}.png")
    begun = time.monotonic()
    process = start(_predict, tmp_path / "in", tmp_path / "through")
    process.join(120)
    assert process.exitcode == 0
    lasts = time.monotonic() - begun
    wanted = contents(tmp_path / "through", without=(".lock",))
    rng, kills, rows, all_kills = random.Random(1), 0, 0, share_of(20)
    while kills < all_kills:
        folder = tmp_path / f"killed{kills}"
        while kills < all_kills and kill_at_random(start(_predict, tmp_path / "in", folder), lasts, rng):
            kills += 1
            if (folder / "predictions.csv").is_file():
                with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
                    kept = list(csv.DictReader(file))
                rows += len(kept)
                assert [row["file"] for row in kept] == sorted({row["file"] for row in kept})
                assert all((folder / row["mask"]).is_file() for row in kept if row["mask"])
        process = start(_predict, tmp_path / "in", folder)
        process.join(120)
        assert process.exitcode == 0
        found = contents(folder, without=(".lock",))
        # A table without a row, of a run that was killed before its first, is set aside as any other's.
        assert {name: data for name, data in found.items() if not name.startswith("predictions.2")} == wanted
    figures["random kills of an inference"] = f"{kills}; rows kept at a kill: {rows / kills:.1f} of 40; files differ: 0"


def test_of_two_processes_into_one_folder_the_second_is_refused(tmp_path: Path, figures: dict[str, str]) -> None:
    rounds, refused = share_of(10), 0
    (tmp_path / "in").mkdir()
    for number in range(10):
        Image.fromarray(block()).save(tmp_path / "in" / f"{number}.png")
    for number in range(rounds):
        folder = tmp_path / f"models{number}"
        both = [start(_train_anew, folder) for _ in range(2)]
        for process in both:
            process.join(120)
        codes = sorted(process.exitcode or 0 for process in both)
        assert codes == [0, REFUSED], codes
        assert whole(folder)
        refused += 1
    figures["two trainings at once into one folder"] = f"{rounds} times; the second refused {refused} times"


def _train_anew(folder: Path) -> None:
    train(folder, SCORES, EPOCHS, network=Large(), handler=_slowly)
