from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from braintumor_ext.metrics.classification import confusion_matrix, mean_of_defined, rates, roc_auc


def sample(n: int = 200, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += 1
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return true, np.round(probabilities, 2)  # rounding makes ties


def test_rates_equal_scikit_learns() -> None:
    true, probabilities = sample()
    predicted = probabilities.argmax(1)
    result = rates(confusion_matrix(true, predicted, 4))
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(true, predicted)
    assert result["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(true, predicted))
    np.testing.assert_allclose(result["precision"], precision)
    np.testing.assert_allclose(result["recall"], recall)
    np.testing.assert_allclose(result["f1"], f1)
    assert result["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(true, predicted, average="macro"))


def test_rates_of_a_small_matrix_are_those_computed_by_hand() -> None:
    # True 0: two right, one taken for 1. True 1: one right. Class 2: never true, predicted once (for a true 1).
    # Class 3: neither true nor predicted.
    result = rates(np.array([[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
    assert result["accuracy"] == pytest.approx(3 / 5)
    np.testing.assert_allclose(result["precision"], [1, 1 / 2, 0, np.nan])
    np.testing.assert_allclose(result["recall"], [2 / 3, 1 / 2, 0, np.nan])
    np.testing.assert_allclose(result["f1"], [4 / 5, 1 / 2, 0, np.nan])
    # One versus rest: wrong are the missed and the false alarms: 1, 2, 1 and 0 of 5.
    np.testing.assert_allclose(result["one_versus_rest_accuracy"], [4 / 5, 3 / 5, 4 / 5, 1])
    assert result["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 0) / 3)


def test_a_stack_of_matrices_gives_each_ones_rates() -> None:
    stack = np.random.default_rng(1).integers(0, 9, size=(5, 3, 3))
    together = rates(stack)
    for index, matrix in enumerate(stack):
        for name, values in rates(matrix).items():
            np.testing.assert_allclose(together[name][index], values)


def test_no_slice_gives_undefined_rates_not_an_error() -> None:
    none = np.array([], dtype=int)
    result = rates(confusion_matrix(none, none, 3))
    assert all(np.isnan(values).all() for values in result.values())
    assert np.isnan(roc_auc(none, np.zeros((0, 3)))).all()


def test_roc_areas_equal_scikit_learns_with_ties() -> None:
    true, probabilities = sample()
    expected = [sklearn.metrics.roc_auc_score(true == k, probabilities[:, k]) for k in range(4)]
    np.testing.assert_allclose(roc_auc(true, probabilities), expected)


def test_weighted_roc_areas_are_those_of_repeated_slices() -> None:
    true, probabilities = sample(60)
    times = np.random.default_rng(2).integers(0, 4, size=(3, 60))
    areas = roc_auc(true, probabilities, times)
    for draw, area in zip(times, areas, strict=True):
        np.testing.assert_allclose(area, roc_auc(np.repeat(true, draw), np.repeat(probabilities, draw, axis=0)))


def test_a_class_without_slices_or_without_others_has_no_roc_area() -> None:
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4]])
    assert np.isnan(roc_auc(np.array([0, 0]), probabilities)).all()


def test_the_mean_leaves_out_what_is_undefined() -> None:
    values = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(mean_of_defined(values), [1.5, np.nan])
