from __future__ import annotations

import hashlib
import json
import logging

import numpy as np
import pytest

from braintumor_ext.calibration import (
    LOW_CONFIDENCE,
    UNUSUAL_INPUT,
    Calibration,
    FeatureDetector,
    PrecisionAgreement,
    describe_calibration,
    read_calibration,
    set_stale_calibration_aside,
    write_calibration,
)
from braintumor_ext.errors import InputError


def features(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(5, 0.2, (n, 16))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    return path


def calibration(model, **changes) -> Calibration:
    values = {
        "temperature": 1.2345678901,
        "confidence_threshold": 0.7,
        "confidence_target": 0.95,
        "detector": FeatureDetector.fit(features(60, 0), features(40, 1)),
        "checkpoint": "model.pt",
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "class_names": ("glioma", "no_tumor"),
        "image_size": 96,
        "fitted_on": "validation",
        "slices": 40,
        "groups": 9,
        "date": "2026-01-31",
    }
    return Calibration(**{**values, **changes})


@pytest.mark.parametrize("detector", [True, False])
def test_it_is_read_as_it_was_written(model, detector):
    written = calibration(model, **({} if detector else {"detector": None}))
    path = model.with_name("calibration.json")
    write_calibration(path, written)
    read = read_calibration(path, model)
    assert read is not None
    assert read.to_dict() == written.to_dict()
    assert json.loads(path.read_text())["sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_the_agreement_of_bfloat16_is_kept_and_a_file_from_before_it_is_read(model):
    path = model.with_name("calibration.json")
    written = calibration(model, bfloat16=PrecisionAgreement(40, 1.0, 0.003, None))
    write_calibration(path, written)
    assert read_calibration(path, model).bfloat16 == written.bfloat16
    content = written.to_dict()
    del content["bfloat16"]
    path.write_text(json.dumps(content))
    assert read_calibration(path, model).bfloat16 is None


def test_another_model_is_refused_with_the_remedy(model):
    path = model.with_name("calibration.json")
    write_calibration(path, calibration(model))
    model.write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"calibration\.json: .*another model\.pt.*Fit it again.*calibrating.*none"):
        read_calibration(path, model)


@pytest.mark.parametrize("path", [None, "", "none", "None"])
def test_none_is_wanted(model, path, caplog):
    with caplog.at_level(logging.INFO, "braintumor_ext"):
        assert read_calibration(path, model) is None
    assert "not calibrated" in caplog.text


def test_no_file_is_told(model, caplog):
    assert read_calibration(model.with_name("calibration.json"), model) is None
    assert "there is no calibration: probabilities are not calibrated" in caplog.text


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"text"'])
def test_a_broken_file_is_told(model, content):
    path = model.with_name("calibration.json")
    path.write_text(content)
    with pytest.raises(InputError, match=r"calibration\.json: not a calibration .*Fit it again"):
        read_calibration(path, model)


@pytest.mark.parametrize(
    ("entry", "value", "told"),
    [
        ("temperature", 0, "temperature is 0"),
        ("temperature", "hot", "temperature is 'hot'"),
        ("confidence_threshold", 1.5, "confidence_threshold is 1.5"),
        ("class_names", [], "class_names"),
        ("detector", {"mean": [1.0]}, "detector lacks"),
        ("detector", 5, "not a calibration"),
        ("sha256", None, "lacks sha256"),
        ("bfloat16", 5, "bfloat16 is 5"),
        ("bfloat16", {"n": 5}, "bfloat16 lacks class_agreement"),
        (
            "bfloat16",
            {"n": 5, "class_agreement": "yes", "probability_difference": 0, "mask_dice": 1},
            "bfloat16's class_agreement is 'yes'",
        ),
    ],
)
def test_an_entry_that_is_absent_or_makes_no_sense_is_named(model, entry, value, told):
    path = model.with_name("calibration.json")
    content = calibration(model).to_dict()
    if value is None:
        del content[entry]
    else:
        content[entry] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=told):
        read_calibration(path, model)


def test_another_image_size_is_told(model, caplog):
    path = model.with_name("calibration.json")
    write_calibration(path, calibration(model))
    read_calibration(path, model, 96)
    assert not caplog.records
    read_calibration(path, model, 224)
    assert "fitted at image_size 96, not 224" in caplog.text


def test_an_earlier_file_is_kept(model):
    path = model.with_name("calibration.json")
    write_calibration(path, calibration(model))
    write_calibration(path, calibration(model, temperature=3.0))
    (kept,) = model.parent.glob("calibration.2*.json")
    assert json.loads(kept.read_text())["temperature"] == 1.2345678901
    assert json.loads(path.read_text())["temperature"] == 3.0


def test_flags_are_for_less_than_the_threshold_and_for_unusual_features(model):
    constants = calibration(model)
    assert constants.flags_for([0.7, 0.3]) == []
    assert constants.flags_for(np.array([0.69, 0.31])) == [LOW_CONFIDENCE]
    ordinary, strange = features(40, 1), np.geomspace(1e-3, 1e3, 16)
    assert [constants.flags_for([0.9, 0.1], f) for f in ordinary].count([UNUSUAL_INPUT]) == 0  # the fit's own
    assert constants.flags_for([0.9, 0.1], strange) == [UNUSUAL_INPUT]
    assert constants.flags_for([0.5, 0.5], strange) == [LOW_CONFIDENCE, UNUSUAL_INPUT]
    assert constants.flags_for([float("nan")] * 2) == [LOW_CONFIDENCE]
    assert calibration(model, detector=None).flags_for([0.9, 0.1], strange) == []


def test_what_a_report_says_of_it(model):
    assert describe_calibration(calibration(model)) == "temperature 1.23, fitted on validation"
    assert describe_calibration(None) == "none (probabilities are not calibrated)"


def test_a_stale_calibration_is_set_aside_and_ones_own_stays(model):
    path = model.with_name("calibration.json")
    assert set_stale_calibration_aside(model) is None
    write_calibration(path, calibration(model))
    assert set_stale_calibration_aside(model) is None
    assert path.exists()
    model.write_bytes(b"other weights")
    kept = set_stale_calibration_aside(model)
    assert kept is not None
    assert kept.exists()
    assert not path.exists()
    path.write_text("{")
    assert set_stale_calibration_aside(model) is not None
