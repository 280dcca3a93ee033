"""A prepared data set of phantoms, an evaluation of the example models on it, and a release of these."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import monai
import pytest

from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.data.prepare import prepare
from studies.release import __main__ as release
from tests.bundle.test_evaluation import evaluate


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 slices of 16 synthetic heads, 64 px, in ``images``; prepared in ``dataset``."""
    folder = tmp_path_factory.mktemp("phantoms")
    images = make_phantoms(folder / "images", 16, 2, 64, 0, progress=False)
    prepare(images, folder / "dataset", masks=images / "masks", groups=images / "groups.csv")
    return folder


@pytest.fixture(scope="session")
def evaluation(phantoms: Path, example_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation of the example models on the test section."""
    folder = tmp_path_factory.mktemp("evaluation")
    evaluate(phantoms / "dataset", example_models, folder)
    return folder


@pytest.fixture(scope="session")
def released(
    phantoms: Path, evaluation: Path, example_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The folder that the release of the example models wrote; not to be changed."""
    folder = tmp_path_factory.mktemp("released")
    assert release.main(release_arguments(phantoms, evaluation, example_models, folder / "models")) == 0
    yield folder / "models"
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _global_state() -> Iterator[None]:
    """Undo what a config's ``initialize`` sets for the whole process."""
    yield
    monai.utils.set_determinism(seed=None)


def release_arguments(phantoms: Path, evaluation: Path, models: Path, output: Path, *more: str) -> list[str]:
    """Return the arguments of ``studies.release``."""
    return [
        *("--checkpoint", str(models), "--evaluation", str(evaluation), "--dataset_dir", str(phantoms / "dataset")),
        *("--output", str(output), "--report", str(output.parent / "report"), "--recipe", "published"),
        *("--data", "phantoms", "--device", "cpu", *more),
    ]


def read(path: Path) -> dict:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
