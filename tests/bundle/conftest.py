"""A prepared data set of phantoms, and one real training on it, shared by the tests of the configs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import monai
import pytest
from monai.bundle import ConfigWorkflow

from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.data.prepare import prepare
from tests.bundle.workflows import FLAT, train


@pytest.fixture(scope="session")
def phantom_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 slices of 16 synthetic heads, 64 px: 16 for training, 8 for validation, 8 for test."""
    folder = tmp_path_factory.mktemp("phantoms")
    images = make_phantoms(folder / "images", 16, 2, 64, 0)
    prepare(images, folder / "dataset", masks=images / "masks", groups=images / "groups.csv")
    return folder / "dataset"


@pytest.fixture(scope="session")
def trained(phantom_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ConfigWorkflow]]:
    """One epoch of the real network: the folder with models/ and out/, and the finished workflow."""
    folder = tmp_path_factory.mktemp("trained")
    yield folder, train(phantom_dataset, folder, epochs=1)
    shutil.rmtree(folder)  # half a gigabyte


@pytest.fixture(scope="session")
def tiny_training(phantom_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch of a small network: the folder with models/ and out/; to be copied before it is changed."""
    folder = tmp_path_factory.mktemp("tiny")
    train(phantom_dataset, folder, epochs=1, **FLAT)
    return folder


@pytest.fixture(scope="module")
def tiny_models(tiny_training: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of that training, each module's own copy: a test may add to the folder."""
    return Path(shutil.copytree(tiny_training / "models", tmp_path_factory.mktemp("tiny_models") / "models"))


@pytest.fixture
def earlier_training(tiny_training: Path, tmp_path: Path) -> Path:
    """A folder in which that training has just ended."""
    return Path(shutil.copytree(tiny_training, tmp_path, dirs_exist_ok=True))


@pytest.fixture
def big_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for checkpoints of the real network, gone after the test."""
    folder = tmp_path / "big"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _global_state() -> Iterator[None]:
    """Undo what a config's ``initialize`` sets for the whole process."""
    yield
    monai.utils.set_determinism(seed=None)
