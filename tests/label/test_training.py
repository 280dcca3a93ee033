"""Training through the servers; it changes their models, so it stands after what compares them with the packed one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braintumor_ext.files import sha256_of
from braintumor_ext.inference import Predictor
from tests.bundle.workflows import read_table
from tests.label.conftest import Server
from tests.one_slice import shown_slice

pytestmark = pytest.mark.label


@pytest.mark.parametrize("name", ["stock", "own"])
def test_training_rewrites_the_model(
    name: str, request: pytest.FixtureRequest, one_slice: dict[str, Path], tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(name)
    label, shown = tmp_path / "label.png", shown_slice()
    Image.fromarray((shown > 240).astype(np.uint8)).save(label)
    before = sha256_of(server.bundle / "models" / "model.pt")
    for image in ("labelled_1", "labelled_2"):
        saved = server.ask(f"/datastore/label?image={image}&tag=final", "PUT", label=label, params="{}")
        assert saved.status == 200, saved
        assert server.ask(f"/datastore/image/info?image={image}", "PUT", info='{"class": "glioma"}').status == 200
    settings = {"max_epochs": 1, "device": "cpu", "val_split": 0.5}
    trained = server.ask(f"/train/{server.model}?run_sync=true", "POST", content=settings)
    assert trained.status == 200, trained
    assert sha256_of(server.bundle / "models" / "model.pt") != before
    after = server.infer(one_slice["png"], "json").json
    assert after["calibrated"] is False  # the calibration was that of other weights
    expected = Predictor.from_bundle(server.bundle, device="cpu")(one_slice["png"])
    assert after["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)
    (epoch,) = read_table(server.bundle / "eval" / "history.csv")
    assert epoch["val_mean_dice"]
    # The stock app hands over images and masks alone: no class is known, so there is none to measure.
    assert ("val_accuracy" in epoch) == (name == "own")
    told = json.loads((server.bundle / "models" / "training.json").read_text())
    assert told["pretrained"].endswith("model.pt")  # it went on from the bundle's own weights


@pytest.mark.parametrize("name", ["max_epochs", "device", "tracking_experiment_name"])
def test_own_app_runs_nothing_that_a_client_sends(name: str, own: Server, tmp_path: Path) -> None:
    text = f"$__import__('pathlib').Path('{tmp_path}/trace').touch()"
    content = {"max_epochs": 1, "device": "cpu", "tracking": "mlflow", name: text}
    refused = own.ask(f"/train/{own.model}?run_sync=true", "POST", content=content)
    assert refused.status == 422
    assert name in refused.json["detail"]
    assert not (tmp_path / "trace").exists()


def test_own_app_names_a_class_that_is_none(own: Server) -> None:
    own.ask("/datastore/image/info?image=labelled_1", "PUT", info='{"class": "lymphoma"}')
    refused = own.ask(f"/train/{own.model}?run_sync=true", "POST", content={"max_epochs": 1, "device": "cpu"})
    assert refused.status == 422
    assert "lymphoma" in refused.json["detail"]
    own.ask("/datastore/image/info?image=labelled_1", "PUT", info='{"class": "glioma"}')
