from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from braintumor_ext.metrics.calibration import (
    brier_scores,
    expected_calibration_error,
    negative_log_likelihoods,
    reliability_bins,
)


def sample(n: int = 300, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.integers(k, size=n), rng.dirichlet(np.ones(k) / 2, size=n)


def test_calibration_error_of_three_slices_is_that_computed_by_hand() -> None:
    # Bins of width 0.1. Confidence 0.95, right, and 0.92, wrong, share a bin: |1.87 - 1| = 0.87. Confidence 0.6 is the
    # upper edge of the bin (0.5, 0.6], right: |0.6 - 1| = 0.4. Over three slices: (0.87 + 0.4) / 3.
    probabilities = np.array([[0.95, 0.05], [0.92, 0.08], [0.4, 0.6]])
    true = np.array([0, 1, 1])
    assert expected_calibration_error(true, probabilities, n_bins=10) == pytest.approx(1.27 / 3)
    assert np.flatnonzero(reliability_bins(true, probabilities, 10).count).tolist() == [5, 9]


def test_calibration_error_equals_a_loop_over_the_bins() -> None:
    true, probabilities = sample()
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == true
    expected = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(true, probabilities) == pytest.approx(expected)


def test_certainty_that_is_always_right_has_no_error() -> None:
    true = np.array([0, 1, 2])
    certain = np.eye(3)
    assert expected_calibration_error(true, certain) == 0
    assert negative_log_likelihoods(true, certain).sum() == 0
    assert brier_scores(true, certain).sum() == 0


def test_likelihood_and_brier_score_equal_scikit_learns() -> None:
    true, probabilities = sample()
    labels = np.arange(4)
    assert negative_log_likelihoods(true, probabilities).mean() == pytest.approx(
        sklearn.metrics.log_loss(true, probabilities, labels=labels)
    )
    per_class = [sklearn.metrics.brier_score_loss(true == k, probabilities[:, k]) for k in labels]
    assert brier_scores(true, probabilities).mean() == pytest.approx(sum(per_class))


def test_a_uniform_guess_has_the_known_brier_score() -> None:
    assert brier_scores(np.array([2]), np.full((1, 4), 0.25)) == pytest.approx([1 - 1 / 4])


def test_a_wrong_certainty_has_a_finite_likelihood() -> None:
    value = negative_log_likelihoods(np.array([1]), np.array([[1.0, 0.0]]))
    assert value == pytest.approx([-np.log(2.0**-52)])


def test_no_slice_has_no_calibration_error() -> None:
    assert np.isnan(expected_calibration_error(np.array([], dtype=int), np.zeros((0, 4))))
