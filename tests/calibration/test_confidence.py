from __future__ import annotations

import numpy as np
import pytest

from braintumor_ext.calibration import confidence_threshold


def by_trying_all(confidence: np.ndarray, correct: np.ndarray, target: float) -> float:
    for threshold in [0.0, *sorted(set(confidence.tolist()))]:
        kept = correct[confidence >= threshold]
        if kept.mean() >= target:
            return threshold
    return 1.0


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("target", [0.5, 0.8, 0.95, 1.0])
def test_it_is_the_smallest_threshold_that_reaches_the_target(seed, target):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(25, 100, 40) / 100  # many ties
    correct = rng.random(40) < confidence
    assert confidence_threshold(confidence, correct, target) == by_trying_all(confidence, correct, target)


def test_nineteen_of_twenty_are_ninety_five_per_cent():
    assert confidence_threshold(np.full(20, 0.5), np.arange(20) > 0, 0.95) == 0.0


def test_slices_of_one_confidence_stand_or_fall_together():
    # one of the two at 0.9 is wrong: only 0.95 is sure enough
    assert confidence_threshold([0.9, 0.9, 0.95, 0.4], [True, False, True, True], 1.0) == 0.95


def test_where_the_surest_is_wrong_everything_below_certainty_is_flagged():
    assert confidence_threshold([0.6, 0.99], [True, False], 0.95) == 1.0


@pytest.mark.parametrize(
    ("confidence", "correct", "target"), [([], [], 0.9), ([0.5], [True, False], 0.9), ([0.5], [True], 0.0)]
)
def test_what_cannot_be_chosen_is_told(confidence, correct, target):
    with pytest.raises(ValueError, match="must be"):
        confidence_threshold(confidence, correct, target)
