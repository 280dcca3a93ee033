"""Flipped bits of a checkpoint, and files whose bytes were changed at random."""

from __future__ import annotations

import json
import random
import resource
import signal
import time
from pathlib import Path

import pytest
import torch

from braintumor_ext.errors import InputError
from braintumor_ext.networks import load_checkpoint
from braintumor_ext.transforms import ToUnitGrey, count_slices, read_slice
from tests.reliability.children import start
from tests.reliability.conftest import share_of
from tests.reliability.mutations import mutated, originals

pytestmark = pytest.mark.reliability

MOST_SECONDS, MOST_MEBIBYTES = 10, 1024


def test_every_flipped_bit_of_a_checkpoint_is_noticed(
    example_models: Path, tmp_path: Path, figures: dict[str, str]
) -> None:
    """Anywhere in the file: weights, names, the table at its end."""
    content = (example_models / "model.pt").read_bytes()
    (tmp_path / "training.json").write_bytes((example_models / "training.json").read_bytes())
    path, rng, noticed, count = tmp_path / "model.pt", random.Random(0), 0, share_of(60)
    for _ in range(count):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except InputError:
            noticed += 1
    path.write_bytes(content)
    load_checkpoint(path)
    figures["flipped bits of model.pt"] = f"{count}; noticed: {noticed}"
    assert noticed == count


def _read(folder: Path, first: int, last: int, results: Path) -> None:
    """Read mutated files; a line of the results for each that is done."""
    files, grey = originals(folder / "originals"), ToUnitGrey(allow_constant=True)
    own = folder / f"from{first}"
    own.mkdir(exist_ok=True)
    with results.open("a", encoding="utf-8") as told:
        for number in range(first, last):
            path = mutated(files, number, own)
            before, begun, outcome = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic(), "read"
            signal.alarm(MOST_SECONDS)  # which ends the process
            try:
                count = count_slices(path)
                value = grey(read_slice(path, count // 2, shrink=True))
                if not (torch.isfinite(value).all() and value.min() >= 0 and value.max() <= 1):
                    outcome = "out of range"
            except InputError:
                outcome = "refused"
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}"[:200]
            signal.alarm(0)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            told.write(json.dumps([number, path.suffix, outcome, time.monotonic() - begun, grown]) + "\n")
            told.flush()
            path.unlink()


def test_mutated_files_are_read_or_refused_in_bounded_time_and_memory(tmp_path: Path, figures: dict[str, str]) -> None:
    count, step = share_of(20_000), 250
    for path in originals(tmp_path / "originals"):  # so that children have what is loaded once
        read_slice(path, 0)
    crashes, results = [], tmp_path / "results.jsonl"
    for begin in range(0, count, step):
        first, last = begin, min(begin + step, count)
        while first < last:
            process = start(_read, tmp_path, first, last, results)
            process.join()
            done = len(results.read_text(encoding="utf-8").splitlines()) + len(crashes)
            if process.exitcode != 0:  # of the file after the last that was told
                crashes.append((done, process.exitcode))
                done += 1
            first = done
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    outcomes = [outcome for _, _, outcome, _, _ in rows]
    other = sorted({f"{suffix} {outcome}" for _, suffix, outcome, _, _ in rows if outcome not in ("read", "refused")})
    longest, most = max(row[3] for row in rows), max(row[4] for row in rows)
    figures["mutated files (12 kinds)"] = (
        f"{count:,}; read {outcomes.count('read'):,}, refused {outcomes.count('refused'):,}, other errors "
        f"{len(rows) - outcomes.count('read') - outcomes.count('refused')}, crashes or over {MOST_SECONDS} s "
        f"{len(crashes)}; longest {longest:.1f} s, most memory for one {most:.0f} MiB"
    )
    assert not crashes, crashes[:10]
    assert not other, other[:10]
    assert most < MOST_MEBIBYTES
