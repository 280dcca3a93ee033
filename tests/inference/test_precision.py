"""Which precision an inference takes, and that the predictions are really made in it."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from braintumor_ext import Predictor
from braintumor_ext.calibration import Calibration, PrecisionAgreement, read_calibration, write_calibration
from braintumor_ext.errors import InputError
from braintumor_ext.inference import inference_precision, precision
from braintumor_ext.networks import BrainTumorNet, ClassifierBaseline
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import square_slice
from tests.inference.conftest import predict

GOOD = PrecisionAgreement(400, 1.0, 0.004, 0.996)
BAD = PrecisionAgreement(400, 1.0, 0.02, 0.996)


@pytest.fixture(autouse=True)
def _has_bfloat16(monkeypatch):
    """As if on a CPU that has it, so that these tests say the same everywhere; others compute in it too, slowly."""
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)


@pytest.fixture(scope="module")
def network() -> BrainTumorNet:
    return BrainTumorNet()


def calibration(bfloat16: PrecisionAgreement | None) -> Calibration:
    facts = ("model.pt", "0" * 64, ("glioma",), 64, "validation", 40, 9, "2026-01-31")
    return Calibration(1.0, 0.5, 0.95, None, *facts, bfloat16)


def test_auto_is_bfloat16_where_the_calibration_says_that_it_agrees(network):
    assert inference_precision("auto", network, calibration=calibration(GOOD)) == "bfloat16"


@pytest.mark.parametrize("verdict", [BAD, None])
def test_auto_is_float32_without_a_good_verdict(network, verdict):
    assert inference_precision("auto", network, calibration=calibration(verdict)) == "float32"


def test_auto_is_float32_without_a_calibration_or_where_the_cpu_has_no_bfloat16(network, monkeypatch, caplog):
    assert inference_precision("auto", network) == "float32"
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    with caplog.at_level(logging.INFO, "braintumor_ext"):
        assert inference_precision("auto", network, calibration=calibration(GOOD)) == "float32"
    assert "float32" in caplog.text


@pytest.mark.parametrize(
    ("amp", "device", "verdict", "expected"),
    [
        (True, "cpu", BAD, "bfloat16"),
        ("true", "cpu", None, "bfloat16"),
        (False, "cpu", GOOD, "float32"),
        ("false", "cpu", GOOD, "float32"),
        (True, "cuda", None, "float16"),
        ("auto", "cuda:1", GOOD, "float32"),  # it was measured on a CPU
        (True, "meta", GOOD, "float32"),
    ],
)
def test_what_is_asked_for_goes_before_the_verdict(network, amp, device, verdict, expected):
    assert inference_precision(amp, network, device, calibration(verdict)) == expected


@pytest.mark.parametrize(
    ("explanation", "expected"),
    [
        ({"explain": "none", "head": "mask"}, "bfloat16"),
        ({"explain": "gradcam"}, "bfloat16"),
        ({"explain": "gradcam++"}, "bfloat16"),
        ({"explain": "gradcam", "head": "mask"}, "float32"),
        ({"explain": "gradcam", "layer": "encoder.layer3"}, "float32"),
        ({"explain": "occlusion"}, "float32"),
        ({"explain": "smoothgrad"}, "float32"),
        ({"explain": "attention"}, "float32"),
    ],
)
def test_heat_maps_that_need_float32_get_it(network, explanation, expected):
    assert inference_precision("auto", network, calibration=calibration(GOOD), **explanation) == expected


def test_a_network_without_such_stages_is_float32(network):
    assert inference_precision(True, ClassifierBaseline("resnet50")) == "float32"
    assert inference_precision(True, nn.Identity()) == "float32"


def test_a_value_that_is_none_of_these_is_told(network):
    with pytest.raises(InputError, match=r"--amp bf16: .*auto, true, false"):
        inference_precision("bf16", network)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for number in range(2):
        image, _ = square_slice(70, 90, top=0.2 + 0.3 * number, seed=number)
        Image.fromarray(np.round(image * 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def judged(example_models, tmp_path_factory):
    """The example models in a folder each, with a good verdict and with a bad one."""
    folders = {}
    known = read_calibration(example_models / "calibration.json", example_models / "model.pt")
    assert known is not None
    for name, verdict in (("good", GOOD), ("bad", BAD)):
        folders[name] = tmp_path_factory.mktemp(name)
        (folders[name] / "model.pt").symlink_to(example_models / "model.pt")
        shutil.copy(example_models / "training.json", folders[name])
        write_calibration(folders[name] / "calibration.json", dataclasses.replace(known, bfloat16=verdict))
    return folders


def test_the_predictor_predictions_in_bfloat16_only_by_a_good_verdict(judged, inputs):
    def predictions(name, **overrides):
        predictor = Predictor.from_bundle(REPOSITORY, judged[name] / "model.pt", "cpu", **overrides)
        return predictor(sorted(inputs.glob("*.png")))

    exact, rounded = predictions("good", amp=False), predictions("good")
    assert [a.probabilities for a in predictions("bad")] == [a.probabilities for a in exact]
    assert [a.probabilities for a in rounded] == [a.probabilities for a in predictions("bad", amp=True)]
    for one, other in zip(exact, rounded, strict=True):
        assert one.probabilities != other.probabilities
        assert max(abs(one.probabilities[name] - p) for name, p in other.probabilities.items()) < 0.05
        assert sum(other.probabilities.values()) == pytest.approx(1, abs=1e-12)  # decoded in float64


def test_a_verdict_about_another_checkpoint_is_refused_with_its_calibration(judged, inputs, tmp_path):
    shutil.copy(judged["good"] / "calibration.json", tmp_path)
    state = torch.load(judged["good"] / "model.pt", weights_only=True)
    state["classifier.5.bias"] += 1
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(InputError, match="fitted to another"):
        Predictor.from_bundle(REPOSITORY, tmp_path / "model.pt", "cpu")
    (tmp_path / "model.pt").unlink()  # large


def test_a_run_records_its_precision_and_gives_the_predictor_s_predictions(judged, inputs, tmp_path):
    small = {"overlays": False, "report": False, "explain": "gradcam"}
    runs = {name: predict(inputs, tmp_path / name, judged[name], **small) for name in ("good", "bad")}
    for name, expected in (("good", "bfloat16"), ("bad", "float32")):
        assert json.loads((runs[name].folder / "run.json").read_text())["settings"]["precision"] == expected
        predictor = Predictor.from_bundle(REPOSITORY, judged[name] / "model.pt", "cpu")
        assert predictor.bfloat16 == (name == "good")
        rows = runs[name].json_rows
        # in one batch as the run's: bfloat16 rounds otherwise in others
        predictions = predictor([inputs / row["file"] for row in rows], explain="gradcam")
        for row, prediction in zip(rows, predictions, strict=True):
            for label, share in prediction.probabilities.items():
                assert row[f"p_{label}"] == pytest.approx(share, abs=1e-5)
    assert runs["good"].json_rows != runs["bad"].json_rows
