"""The small network's models, exported once in every format."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from braintumor_ext import Predictor
from braintumor_ext.backends import BACKENDS, ExportedNetwork, load_exported
from braintumor_ext.networks import load_weights, network_of_checkpoint
from scripts.export import main
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import square_slice


@pytest.fixture(scope="session")
def exports(example_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with the example models and an export in every format, and what the command printed for each."""
    folder = tmp_path_factory.mktemp("exports") / "models"
    shutil.copytree(example_models, folder)
    printed = {}
    for name in BACKENDS:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["--checkpoint", str(folder / "model.pt"), "--format", name]) == 0
        printed[name] = out.getvalue()
    yield folder, printed
    shutil.rmtree(folder)  # half a gigabyte


@pytest.fixture(scope="session")
def models(exports: tuple[Path, dict[str, str]]) -> Path:
    """The folder with the example models and their exports; not to be changed."""
    return exports[0]


@pytest.fixture(scope="session")
def networks(models: Path) -> dict[str, ExportedNetwork]:
    """Each backend's network."""
    return {name: load_exported(backend, models / "model.pt") for name, backend in BACKENDS.items()}


@pytest.fixture(scope="session")
def predictors(models: Path) -> dict[str, Predictor]:
    """The predictor of each backend, "eager" among them."""
    path = models / "model.pt"
    return {name: Predictor.from_bundle(REPOSITORY, path, "cpu", backend=name) for name in ("eager", *BACKENDS)}


@pytest.fixture(scope="session")
def eager(models: Path) -> torch.nn.Module:
    """The network that was exported."""
    network = network_of_checkpoint(models / "model.pt")
    load_weights(network, models / "model.pt")
    return network.eval()


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five slices with bright squares, one of plain noise that is no brain, and one broken file."""
    folder = tmp_path_factory.mktemp("slices")
    for number in range(5):
        image, _ = square_slice(70 + 9 * number, 90, top=0.1 * number, left=0.6 - 0.1 * number, seed=number)
        Image.fromarray(np.round(image * 255).astype(np.uint8)).save(folder / f"{number}.png")
    noise = np.random.default_rng(0).integers(0, 256, (80, 80), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    (folder / "broken.png").write_bytes(b"\x89PNG and nothing more")
    return folder


@pytest.fixture
def images() -> torch.Tensor:
    """Three images that are not square."""
    return torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(3))
