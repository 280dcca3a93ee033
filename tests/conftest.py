"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_bundle.pack import pack
from tests.example_models import write_example_models
from tests.one_slice import write_forms

REPOSITORY = Path(__file__).resolve().parent.parent


def _real_data(name: str) -> Path:
    root = Path(os.environ.get("BRAINTUMOR_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / name).is_dir():
        pytest.skip(f"no real data at {root / name}: set BRAINTUMOR_DATA")
    return root / name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a folder's tests in one process: what they share is costly to make."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            item.add_marker(pytest.mark.xdist_group(item.path.parent.name))


@pytest.fixture(scope="session")
def bundle_root() -> Path:
    """The repository's root, which is the bundle's."""
    return REPOSITORY


@pytest.fixture(scope="session")
def brain_tumor_mri() -> Path:
    """2,870 real slices in Training/<class>, masks/<class> and groups.csv."""
    return _real_data("brain-tumor-mri")


@pytest.fixture(scope="session")
def dicom_head() -> Path:
    """32 real DICOM slices of one healthy head."""
    return _real_data("dicom-head")


@pytest.fixture(scope="session")
def nifti_glioblastoma() -> Path:
    """Two real T1 volumes with tumour masks."""
    return _real_data("nifti-glioblastoma")


@pytest.fixture(scope="session")
def odd_inputs() -> Path:
    """Small files that were once read wrongly, one folder a situation."""
    return _real_data("odd-inputs")


@pytest.fixture(scope="session")
def example_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with model.pt (64 px, masks of bright squares) and what belongs to it; not to be changed."""
    folder = write_example_models(tmp_path_factory.mktemp("example") / "models")
    yield folder
    shutil.rmtree(folder)  # 50 MB


@pytest.fixture(scope="session")
def packed_bundle(example_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The packed bundle of the example models, a folder; not to be changed."""
    output = tmp_path_factory.mktemp("dist")
    yield pack(example_models / "model.pt", output)
    shutil.rmtree(output)


@pytest.fixture(scope="session")
def one_slice(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One slice in several forms: see :func:`tests.one_slice.write_forms`."""
    return write_forms(tmp_path_factory.mktemp("one_slice"))
