"""The bundle's configs as workflows, with small images and a small network where the network does not matter."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from braintumor_ext.errors import InputError

ROOT = Path(__file__).resolve().parent.parent.parent
TINY_NET = {
    "_target_": "tests.bundle.tiny_net.TinyNet",
    "in_channels": "@in_channels",
    "num_classes": "$len(@classes)",
}
SMALL = {"image_size": 64, "batch_size": 8, "num_workers": 0, "amp": False}
FLAT = {"image_size": 32, "network_def": TINY_NET}
"""Overrides for runs in which only the engine matters."""


def make_workflow(*names: str, workflow_type: str = "train", root: Path = ROOT, **overrides: Any) -> ConfigWorkflow:
    """Return the workflow of ``configs/<name>.json``, merged in their order.

    The logging set-up is left out: it would take the records from pytest.
    """
    if names[0] == "train" and "pretrained" not in overrides:
        overrides["pretrained"] = False
    return ConfigWorkflow(
        config_file=[str(root / "configs" / f"{name}.json") for name in names],
        meta_file=str(root / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type=workflow_type,
        **{"bundle_root": str(root), **SMALL, **overrides},
    )


def run_workflow(workflow: ConfigWorkflow) -> ConfigWorkflow:
    """Run a workflow from beginning to end, and return it."""
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def train(dataset_dir: Path, folder: Path, *overlays: str, **overrides: Any) -> ConfigWorkflow:
    """Train, with models in ``folder/models`` and the rest in ``folder/out``."""
    return run_workflow(make_workflow("train", *overlays, **{**places(dataset_dir, folder), **overrides}))


def command_line(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ``python -m monai.bundle run`` as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )


def places(dataset_dir: Path, folder: Path) -> dict[str, str]:
    """Return the overrides that say where a training reads and writes."""
    return {"dataset_dir": str(dataset_dir), "ckpt_dir": str(folder / "models"), "output_dir": str(folder / "out")}


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and all that caused it; MONAI's configs wrap a component's error several times."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@contextmanager
def told(pattern: str, kind: type[Exception] = InputError) -> Iterator[None]:
    """Expect an error that a person is told of: somewhere under MONAI's wrappers, with a message like ``pattern``."""
    with pytest.raises(Exception) as caught:
        yield
    messages = [str(error) for error in causes(caught.value) if isinstance(error, kind)]
    assert messages, f"no {kind.__name__} in {causes(caught.value)}"
    assert re.search(pattern, messages[0], re.DOTALL), messages[0]


class Interruption(Exception):
    """What a handler raises to end a run in its midst."""


def run_until_interrupted(workflow: ConfigWorkflow) -> None:
    """Run a workflow of which some handler raises an interruption."""
    with pytest.raises(Exception) as caught:
        workflow.run()
    assert any(isinstance(error, Interruption) for error in causes(caught.value)), caught.value
