from __future__ import annotations

import numpy as np
import pytest

from braintumor_ext.calibration import FeatureDetector, fit_temperature
from braintumor_ext.calibration.measures import (
    Judged,
    LabelledOutputs,
    confidence_measures,
    cross_fit,
    fit_constants,
    judge,
    probability_measures,
)


def outputs(groups: int = 10, seed: int = 0, unknown: int = 0) -> LabelledOutputs:
    rng = np.random.default_rng(seed)
    names = [f"g{k}" for k in range(groups) for _ in range(6)]
    logits = rng.normal(0, 3, (len(names), 4))
    classes = np.where(rng.random(len(names)) < 0.7, logits.argmax(1), rng.integers(0, 4, len(names)))
    classes[:unknown] = -1
    return LabelledOutputs(logits, classes, names, rng.gamma(5, 0.2, (len(names), 8)))


def test_a_slice_is_judged_without_its_own_group():
    given = outputs()
    crossed = cross_fit(given, 0.8, None)
    assert crossed is not None
    # whatever a group's classes are, its own judgement stays
    changed = given.classes.copy()
    own = np.array([g == "g3" for g in given.groups])
    changed[own] = (changed[own] + 1) % 4
    again = cross_fit(LabelledOutputs(given.logits, changed, given.groups, given.features), 0.8, None)
    assert again is not None
    np.testing.assert_array_equal(again.probabilities[own], crossed.probabilities[own])
    assert (again.probabilities[~own] != crossed.probabilities[~own]).any()


def test_each_part_has_the_temperature_of_the_others():
    given = outputs(groups=2)
    crossed = cross_fit(given, 0.8, None)
    assert crossed is not None
    first = np.arange(12) < 6
    expected = given.take(first).probabilities(fit_temperature(given.logits[~first], given.classes[~first]))
    np.testing.assert_allclose(crossed.probabilities[first], expected)


def test_the_detectors_cross_fitted_alarms_are_no_fewer_than_promised():
    given = outputs(groups=20)
    detector = FeatureDetector.fit(outputs(30, 7).features, given.features, 0.95)
    crossed = cross_fit(given, 0.8, detector)
    own = judge(given, 1.0, 0.5, detector)
    assert crossed is not None
    assert own.unusual.mean() <= 0.05
    assert crossed.unusual.sum() >= own.unusual.sum()


def test_one_group_cannot_be_cross_fitted_and_slices_without_groups_can():
    given = outputs(groups=1)
    assert cross_fit(given, 0.8, None) is None
    alone = LabelledOutputs(given.logits, given.classes, [None] * len(given), None)
    assert cross_fit(alone, 0.8, None) is not None


def test_slices_of_unknown_class_are_judged_but_not_fitted_to():
    given = outputs(unknown=9)
    known = given.take(given.known)
    assert fit_constants(given, 0.8) == fit_constants(known, 0.8)
    crossed = cross_fit(given, 0.8, None)
    assert crossed is not None
    assert np.isfinite(crossed.probabilities).all()
    nothing = LabelledOutputs(given.logits, np.full(len(given), -1), given.groups)
    assert cross_fit(nothing, 0.8, None) is None
    with pytest.raises(ValueError, match="known class"):
        fit_constants(nothing, 0.8)


def test_shares_and_accuracies_are_counted():
    # predicted 0, 0, 1, 1; true 0, 1, 1, 1; the second and the third are flagged
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.45, 0.55], [0.2, 0.8]])
    found = confidence_measures(np.array([0, 1, 1, 1]), Judged(probabilities, np.array([0, 1, 1, 0], bool), None))
    assert found == {"n": 4, "flagged": 2, "accuracy": 0.75, "accuracy_flagged": 0.5, "accuracy_others": 1.0}
    nobody = confidence_measures(np.array([0, 1, 1, 1]), Judged(probabilities, np.zeros(4, bool), None))
    assert nobody["accuracy_flagged"] is None
    # -mean ln(0.9, 0.4, 0.55, 0.8); squares 0.02, 0.72, 0.405, 0.08
    measured = probability_measures(np.array([0, 1, 1, 1]), probabilities)
    assert measured["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.55, 0.8]).mean())
    assert measured["brier"] == pytest.approx((0.02 + 0.72 + 0.405 + 0.08) / 4)
