"""Which finished run is a plan's: by its hash for going on, by what it says of itself for the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from braintumor_ext.errors import InputError
from studies.comparison.models import ModelConfig
from studies.comparison.run_plan import RUN_JSON, RunPlan
from studies.comparison.splits import Split


def plan(root: Path, epochs: int = 2, content: str = "{}") -> RunPlan:
    config = root / "train.json"
    config.write_text(content)
    split = Split("random", 0, None, {"training": [], "validation": [], "test": []}, "0" * 64)
    return RunPlan(ModelConfig("ours", "ours", (config,)), split, {"epochs": epochs}, root / "runs")


def finish(planned: RunPlan) -> Path:
    planned.folder.mkdir(parents=True)
    told = {"settings": dict(planned.settings), "random_seed": planned.split.seed}
    (planned.folder / RUN_JSON).write_text(json.dumps(told))
    return planned.folder


def test_a_run_made_before_the_config_changed_is_found_for_the_table_alone(tmp_path: Path) -> None:
    made = finish(plan(tmp_path))
    now = plan(tmp_path, content='{"a": 1}')
    assert now.finished() is None
    assert now.as_stored().folder == made
    assert now.as_stored().finished() is not None


def test_of_two_stored_runs_that_of_the_config_as_it_is_counts(tmp_path: Path) -> None:
    finish(plan(tmp_path))
    made = finish(plan(tmp_path, content='{"a": 1}'))
    assert plan(tmp_path, content='{"a": 1}').as_stored().folder == made
    with pytest.raises(InputError, match="2 finished runs"):
        plan(tmp_path, content='{"a": 2}').as_stored()


def test_a_stored_run_of_other_settings_does_not_count(tmp_path: Path) -> None:
    finish(plan(tmp_path))
    assert plan(tmp_path, epochs=3, content='{"a": 1}').as_stored().finished() is None
