"""The app as a command in its own environment, and what a run of it left behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import highdicom as hd
import pytest

from braintumor_ext import Predictor
from tests.conftest import REPOSITORY

PYTHON = REPOSITORY / ".venv-deploy" / "bin" / "python"


@dataclass(frozen=True)
class Ran:
    """One run of the app."""

    process: subprocess.CompletedProcess[str]
    output: Path

    @cached_property
    def table(self) -> dict[str, Any]:
        """predictions.json."""
        return json.loads((self.output / "predictions.json").read_text(encoding="utf-8"))

    def series(self, uid: str | None = None) -> dict[str, Any]:
        """The table's part on one series; without a UID, on the only one."""
        found = [s for s in self.table["series"] if uid in (None, s["series_instance_uid"])]
        assert len(found) == 1, self.process.stderr
        return found[0]

    def segmentation(self, uid: str | None = None) -> hd.seg.Segmentation:
        """The segmentation of a series."""
        return hd.seg.segread(self.output / self.series(uid)["segmentation"])

    def report(self, uid: str | None = None) -> hd.sr.ComprehensiveSR:
        """The report on a series."""
        return hd.sr.srread(self.output / self.series(uid)["report"])


def run_command(
    *arguments: str, cwd: Path = REPOSITORY, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python in the Deploy environment."""
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is not there: make test-deploy installs it")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HOLOSCAN"))}
    return subprocess.run(
        [str(PYTHON), *arguments],
        cwd=cwd,
        env={**inherited, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_app(
    folder: Path,
    output: Path,
    bundle: Path,
    *options: str,
    cwd: Path = REPOSITORY,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run the app's command."""
    paths = ("-i", str(folder), "-o", str(output), "-m", str(bundle))
    return Ran(run_command("-m", "monai_bundle.deploy_app", *paths, *options, cwd=cwd, environment=environment), output)


@pytest.fixture(scope="session")
def predictor(packed_bundle: Path) -> Predictor:
    """The same bundle from Python, in this environment."""
    return Predictor.from_bundle(packed_bundle, device="cpu")
