"""Phantoms for the comparison's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from braintumor_ext.data.phantoms import make_phantoms
from braintumor_ext.data.prepare import prepare


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 slices of 20 drawn heads, 64 px, prepared; not to be changed."""
    folder = tmp_path_factory.mktemp("phantoms")
    images = make_phantoms(folder / "images", 20, 2, 64, 0)
    prepare(images, folder / "dataset", masks=images / "masks", groups=images / "groups.csv")
    return folder / "dataset"
