"""One prediction about a series, from those about its slices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from braintumor_ext.classes import CLASSES
from braintumor_ext.prediction import Prediction
from braintumor_ext.series_prediction import series_prediction


def prediction(shares: list[float], tumour: bool, **more: object) -> Prediction:
    best = int(np.argmax(shares))
    named = dict(zip(CLASSES, shares, strict=True))
    return Prediction("slice", CLASSES[best], best, named, np.full((4, 5), tumour), **more)


GLIOMA = prediction([0.6, 0.2, 0.1, 0.1], True)
MENINGIOMA = prediction([0.05, 0.9, 0.03, 0.02], True)
UNSEEN = prediction([0.9, 0.05, 0.03, 0.02], False)  # a tumour's class, without a mask
NOTHING = prediction([0.1, 0.1, 0.1, 0.7], False)
FAILED = Prediction("slice", error="is blank")


def test_the_label_is_the_tumour_with_the_highest_sum_over_slices_with_class_and_mask():
    prediction = series_prediction([NOTHING, GLIOMA, UNSEEN, MENINGIOMA, FAILED])
    assert prediction.label == "meningioma"  # 0.2 + 0.9 against 0.6 + 0.05
    assert prediction.rests_on == (1, 3)
    assert prediction.probabilities["meningioma"] == pytest.approx((0.2 + 0.9) / 2)
    assert (prediction.slices, prediction.failed, prediction.tumour_slices, prediction.disagreeing) == (4, 1, 2, 1)
    assert prediction.class_counts == {"glioma": 2, "meningioma": 1, "pituitary": 0, "no_tumor": 1}


def test_without_such_a_slice_it_is_the_empty_class():
    prediction = series_prediction([NOTHING, UNSEEN])
    assert prediction.label == "no_tumor"
    assert prediction.rests_on == (0, 1)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_the_order_of_the_slices_does_not_matter():
    slices = [GLIOMA, MENINGIOMA, NOTHING, FAILED]
    told = [series_prediction(order).to_dict() for order in itertools.permutations(slices)]
    for prediction in told:
        prediction.pop("rests_on")
    assert all(prediction == told[0] for prediction in told)


def test_if_no_slice_could_be_predicted_there_is_no_prediction():
    prediction = series_prediction([FAILED, FAILED])
    assert prediction.label is None
    assert prediction.probabilities is None
    assert prediction.failed == 2


def test_it_is_calibrated_only_if_all_slices_are():
    calibrated = prediction([0.6, 0.2, 0.1, 0.1], True, calibrated=True)
    assert series_prediction([calibrated]).calibrated
    assert not series_prediction([calibrated, GLIOMA]).calibrated


def test_flags_are_counted():
    flagged = prediction([0.6, 0.2, 0.1, 0.1], True, flags=("low confidence", "upscaled"))
    assert series_prediction([flagged, flagged, GLIOMA]).flags == {"low confidence": 2, "upscaled": 2}
