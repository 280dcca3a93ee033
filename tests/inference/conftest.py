"""A model and a way to run the inference of the bundle in this process."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai
import pytest
from monai.bundle import ConfigWorkflow

from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import SIZE, write_bright_square_model


@pytest.fixture(scope="session")
def ckpt_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a ``model.pt`` whose mask outlines bright squares."""
    folder = write_bright_square_model(tmp_path_factory.mktemp("models"))
    yield folder
    shutil.rmtree(folder)  # more than 100 MB


@pytest.fixture(autouse=True)
def _global_state() -> Iterator[None]:
    """Undo what a config's ``initialize`` sets for the whole process."""
    yield
    monai.utils.set_determinism(seed=None)


@dataclass
class Prediction:
    """What a run of the inference left behind."""

    folder: Path
    exit_message: str | None

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of predictions.csv, all text."""
        with open(self.folder / "predictions.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @property
    def json_rows(self) -> list[dict[str, Any]]:
        """The rows of predictions.json."""
        return json.loads((self.folder / "predictions.json").read_text(encoding="utf-8"))["predictions"]

    def row(self, file: str, index: int | None = None) -> dict[str, str]:
        """The row of one file, or of one slice of it."""
        found = [r for r in self.rows if r["file"] == file and r["slice"] == ("" if index is None else str(index))]
        assert len(found) == 1, f"{len(found)} rows of {file}"
        return found[0]


def inference_workflow(dataset_dir: Path, output_dir: Path, ckpt_dir: Path, **settings: Any) -> ConfigWorkflow:
    """Return the bundle's inference, as the command line would build it from the same settings."""
    return ConfigWorkflow(
        config_file=str(REPOSITORY / "configs" / "inference.json"),
        meta_file=str(REPOSITORY / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(REPOSITORY),
        dataset_dir=str(dataset_dir),
        output_dir=str(output_dir),
        ckpt_dir=str(ckpt_dir),
        **{"image_size": SIZE, "device": "cpu", **settings},
    )


def predict(dataset_dir: Path, output_dir: Path, ckpt_dir: Path, **settings: Any) -> Prediction:
    """Run the bundle's inference: initialize, run, finalize."""
    workflow = inference_workflow(dataset_dir, output_dir, ckpt_dir, **settings)
    workflow.initialize()
    workflow.run()
    try:
        workflow.finalize()
    except SystemExit as leaving:
        return Prediction(output_dir, str(leaving.code))
    return Prediction(output_dir, None)
