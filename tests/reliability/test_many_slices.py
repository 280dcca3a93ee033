"""An inference of many slices takes no more memory than one of few."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.inference.writing import block
from tests.memory import run_measured
from tests.reliability.conftest import share_of

pytestmark = pytest.mark.reliability

SETUP = """
import sys
from pathlib import Path
from tests.inference.writing import run, with_heat
inputs, output = map(Path, sys.argv[1:])
run(inputs / "few", output / "few", network=with_heat, batch_size=8)
"""
PREDICT = "run(inputs / 'many', output / 'many', network=with_heat, batch_size=8)"


def test_memory_is_flat_over_many_slices(tmp_path: Path, figures: dict[str, str]) -> None:
    count = share_of(10_000)
    for name, number in (("few", 100), ("many", count)):
        (tmp_path / "in" / name).mkdir(parents=True)
        for index in range(number):
            Image.fromarray(block()).save(tmp_path / "in" / name / f"{index:05d}.png")
    _, took = run_measured(SETUP, PREDICT, tmp_path / "in", tmp_path / "out")
    figures["slices in one inference"] = f"{count:,}; memory beyond that of 100: {took:.0f} MiB"
    assert took < 20 + count * 0.01, "a row each: some kilobytes"
