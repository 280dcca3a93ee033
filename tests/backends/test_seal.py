"""An export of which a bit has changed is refused before it is run; what it is of and what it is stand in it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from braintumor_ext import Predictor
from braintumor_ext.backends import BACKENDS, Description, HeadsAndFeatures, load_exported
from braintumor_ext.errors import InputError
from tests.backends.test_int8 import DESCRIPTION, SmallNetwork
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small network's export in every format."""
    folder = tmp_path_factory.mktemp("small")
    network = HeadsAndFeatures(SmallNetwork().eval())
    for backend in BACKENDS.values():
        model = backend.convert(network, torch.randn(2, 3, 96, 128))
        backend.save(model, folder / f"model{backend.suffix}", DESCRIPTION)
    return folder


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_flipped_bit_is_told(name: str, small: Path, tmp_path: Path) -> None:
    backend = BACKENDS[name]
    draw = np.random.default_rng(0)
    suffixes = [backend.suffix, ".bin"] if name == "openvino" else [backend.suffix]
    files = [small / f"model{suffix}" for suffix in suffixes]
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = load_exported(backend, small / "model.pt")(images)
    told = 0
    for source in files:
        for place in draw.integers(0, 8 * source.stat().st_size, 20 // len(files)):
            for file in files:
                shutil.copy(file, tmp_path)
            flip(tmp_path / source.name, int(place))
            try:
                found = load_exported(backend, tmp_path / "model.pt")(images)
            except InputError as error:
                told += 1
                assert f"model{backend.suffix}: " in str(error)  # noqa: PT017  # either is right
            else:  # padding between an archive's entries holds nothing
                assert name == "torchscript"
                assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert told >= (5 if name == "torchscript" else 20)
    for file in files:
        shutil.copy(file, tmp_path)
    known = load_exported(backend, tmp_path / "model.pt").description
    assert known.content_sha256 is not None
    assert known == replace(DESCRIPTION, content_sha256=known.content_sha256)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_seal_is_of_the_content_and_not_of_the_name(name: str, small: Path, tmp_path: Path) -> None:
    backend = BACKENDS[name]
    for suffix in {backend.suffix, ".bin"}:
        if (small / f"model{suffix}").is_file():
            shutil.copy(small / f"model{suffix}", tmp_path / f"other name{suffix}")
    assert load_exported(backend, tmp_path / "x.pt", tmp_path / f"other name{backend.suffix}").backend == name


def test_another_file_of_weights_is_refused(small: Path, tmp_path: Path) -> None:
    shutil.copy(small / "model.xml", tmp_path)
    (tmp_path / "model.bin").write_bytes((small / "model.bin").read_bytes()[::-1])
    with pytest.raises(InputError, match="is damaged"):
        load_exported(BACKENDS["openvino"], tmp_path / "model.pt")


@pytest.mark.parametrize("name", BACKENDS)
def test_an_export_without_a_seal_is_run_with_a_warning(
    name: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = BACKENDS[name]
    for file in small.iterdir():
        shutil.copy(file, tmp_path)
    plain = Description.from_json
    monkeypatch.setattr(Description, "from_json", lambda text: replace(plain(text), content_sha256=None))
    load_exported(backend, tmp_path / "model.pt")
    assert "no checksum" in caplog.text


def test_the_bundle_s_own_exports_are_sealed_and_refused_when_a_bit_has_changed(models: Path, tmp_path: Path) -> None:
    for name in ("model.pt", "training.json"):
        os.link(models / name, tmp_path / name)
    shutil.copy(models / "model.onnx", tmp_path)
    Predictor.from_bundle(REPOSITORY, tmp_path / "model.pt", "cpu", backend="onnx", calibration="none")
    flip(tmp_path / "model.onnx", 8 * 20_000_000 + 6)  # in the weights, where nothing else would tell
    with pytest.raises(InputError, match=r"model\.onnx: is damaged"):
        Predictor.from_bundle(REPOSITORY, tmp_path / "model.pt", "cpu", backend="onnx", calibration="none")
