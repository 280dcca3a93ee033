from __future__ import annotations

import numpy as np
import pytest

from braintumor_ext.calibration import confidence_threshold, fit_temperature, scaled_probabilities


def drawn(n: int, factor: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Classes drawn from softmax(logits), and the logits times a factor: their right temperature is the factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = (rng.random((n, 1)) > shares.cumsum(1)).sum(1)
    return logits * factor, classes


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_a_known_factor_on_the_logits_is_found_again(factor):
    assert fit_temperature(*drawn(20_000, factor)) == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("n", [5, 60, 300])
def test_no_temperature_of_a_fine_grid_is_likelier(n):
    logits, classes = drawn(n, 4.0, seed=n)
    found = fit_temperature(logits, classes)
    grid = np.geomspace(0.05, 20, 3000)

    def loss(temperature: float) -> float:
        shares = np.exp(logits / temperature - (logits / temperature).max(1, keepdims=True))
        return -np.log(shares[np.arange(n), classes] / shares.sum(1)).mean()

    losses = [loss(temperature) for temperature in grid]
    assert loss(found) <= min(losses) + 1e-9
    assert found == pytest.approx(grid[np.argmin(losses)], rel=5e-3)


def test_the_predicted_class_stays():
    logits, _ = drawn(200, 1.0)
    assert (scaled_probabilities(logits, 7.0).argmax(1) == logits.argmax(1)).all()


def test_slices_that_are_all_right_or_all_wrong_end_at_a_bound():
    logits = np.eye(4)[[0, 1, 2, 3]] * 2
    assert 0.05 <= fit_temperature(logits, np.arange(4)) < 0.06  # the loss is nought to the last digit there
    assert fit_temperature(logits, (np.arange(4) + 1) % 4) == pytest.approx(20, rel=1e-3)


def test_slices_of_unknown_class_count_for_nothing():
    logits, classes = drawn(100, 2.0)
    wild = np.concatenate([logits, np.full((5, 4), 50.0)])
    assert fit_temperature(wild, [*classes, *[-1] * 5]) == fit_temperature(logits, classes)


@pytest.mark.parametrize(
    ("logits", "classes", "message"),
    [
        (np.zeros((2, 4)), [-1, -1], "no slice of known class"),
        (np.zeros((0, 4)), [], "no slice of known class"),
        (np.full((1, 4), np.nan), [0], "not finite"),
        (np.zeros((2, 4)), [0], "needed, got"),
    ],
)
def test_what_cannot_be_fitted_is_told(logits, classes, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, classes)


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
