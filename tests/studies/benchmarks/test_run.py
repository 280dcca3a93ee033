"""Benchmarks run end to end, in small."""

from __future__ import annotations

import importlib
import inspect

import pytest

from braintumor_ext.errors import InputError
from studies.benchmarks import __main__ as suite
from studies.benchmarks.command import main as run_benchmark
from studies.benchmarks.record import Row, Table, read_result

pytestmark = pytest.mark.slow


def run(quick: bool) -> list[Table]:
    """Stand for a benchmark: a real one's ``run`` lies in its own module."""
    if not quick:
        raise InputError("speed", "it cannot be had", "Wait")
    return [Table("t", "T", "M", ["what"], [Row(["x"], {"s": [1.0]})])]


def test_a_benchmark_writes_its_result(tmp_path, capsys):
    assert run_benchmark(run, ["--quick", "--output", str(tmp_path)]) == 0
    result = read_result(tmp_path / "test_run.json")
    assert (result.benchmark, result.quick, result.failure) == ("test_run", True, "")
    assert result.tables == run(True)
    assert "| test_run/t | x | s | 1.00 |" in capsys.readouterr().out


def test_a_benchmark_that_fails_says_so_in_its_result(tmp_path):
    assert run_benchmark(run, ["--output", str(tmp_path)]) == 1
    result = read_result(tmp_path / "test_run.json")
    assert "it cannot be had" in result.failure
    assert not result.tables


def test_a_failing_benchmark_costs_only_its_own_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite, "BENCHMARKS", {"there_is_none": 60, "explain": 120})
    (tmp_path / "there_is_none.json").write_text("an old result")
    assert suite.main(["--quick", "--output", str(tmp_path)]) == 1
    assert "FAILED there_is_none: it ended with exit code 1" in capsys.readouterr().out
    assert read_result(tmp_path / "there_is_none.json").failure
    assert len(read_result(tmp_path / "explain.json").tables[0].rows) >= 6
    assert "explain/map" in (tmp_path / "README.md").read_text()


def test_a_benchmark_that_takes_too_long_is_ended(tmp_path):
    assert suite.run_one("explain", 0.2, tmp_path, quick=True).failure == "not done after 0.2 s"


def test_an_unknown_name_is_told_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        suite.main(["speed"])
    assert ", ".join(suite.BENCHMARKS) in capsys.readouterr().err


@pytest.mark.parametrize("name", suite.BENCHMARKS)
def test_every_benchmark_of_the_suite_can_be_run(name):
    assert list(inspect.signature(importlib.import_module(f"studies.benchmarks.{name}").run).parameters) == ["quick"]


def test_all_together_stay_below_a_quarter_of_an_hour():
    assert sum(suite.BENCHMARKS.values()) <= 14 * 60
