from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from braintumor_ext import png_file


@pytest.fixture(params=["isal", "zlib"])
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as it is where the fast compression is installed and where it is not."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    module = importlib.reload(png_file)
    assert (module.deflate.__name__ == "zlib") == (request.param == "zlib")
    yield module
    monkeypatch.undo()
    importlib.reload(png_file)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (64, 48, 3), (1, 5, 3)])
def test_a_picture_is_read_back_as_it_was(shape: tuple[int, ...], writer: ModuleType, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    writer.write_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as picture:
        picture.verify()
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "L" if len(shape) == 2 else "RGB")
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_a_view_is_written_as_it_is_seen(tmp_path: Path) -> None:
    pixels = np.arange(240, dtype=np.uint8).reshape(12, 20)[::-1, ::2]
    png_file.write_png(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)])
def test_what_is_no_picture_is_refused(pixels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no picture"):
        png_file.write_png(tmp_path / "a.png", pixels)
    assert not (tmp_path / "a.png").exists()
