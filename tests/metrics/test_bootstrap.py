from __future__ import annotations

import numpy as np
import pytest

from braintumor_ext.metrics import GroupBootstrap, group_bootstrap

GROUPS = ["a", "b", "a", None, "c", None, "b", "a"]


def test_slices_of_a_group_are_always_drawn_together() -> None:
    weights = np.concatenate(list(GroupBootstrap(GROUPS, n_draws=600).slice_weights()))
    assert weights.shape == (600, 8)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 0], weights[:, 7])
    assert (weights[:, 3] != weights[:, 5]).any(), "slices without a group are groups of their own"


def test_each_draw_has_as_many_groups_as_there_are() -> None:
    bootstrap = GroupBootstrap(GROUPS, n_draws=300)
    assert bootstrap.n_groups == 5
    assert (bootstrap.times_drawn.sum(1) == 5).all()
    assert bootstrap.times_drawn.mean(0) == pytest.approx(np.ones(5), abs=0.2)


def test_sums_and_means_are_those_of_the_repeated_slices() -> None:
    bootstrap = GroupBootstrap(GROUPS, n_draws=40)
    values = np.array([1.0, 2, 4, 8, 16, np.nan, 32, 64])
    weights = np.concatenate(list(bootstrap.slice_weights()))
    np.testing.assert_allclose(bootstrap.sums(np.nan_to_num(values)), weights @ np.nan_to_num(values))
    expected = [np.nanmean(np.repeat(values, w)) if np.repeat(~np.isnan(values), w).any() else np.nan for w in weights]
    np.testing.assert_allclose(bootstrap.means(values), expected)


def test_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(size=400)
    lower, upper = group_bootstrap([None] * 400, values, n_draws=4000)
    half = 1.96 * values.std() / 20
    assert (lower, upper) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_groups_of_equal_slices_widen_the_interval_by_the_root_of_their_size() -> None:
    values = np.random.default_rng(2).normal(size=100).repeat(9)
    singly = np.subtract(*group_bootstrap([None] * 900, values))
    grouped = np.subtract(*group_bootstrap([str(i // 9) for i in range(900)], values))
    assert grouped / singly == pytest.approx(3, rel=0.1)


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values = np.arange(8.0)
    assert group_bootstrap(GROUPS, values, seed=4) == group_bootstrap(GROUPS, values, seed=4)
    first, second = (GroupBootstrap(GROUPS, seed=seed).times_drawn for seed in (4, 5))
    assert (first != second).any()


def test_values_of_one_group_alone_have_no_interval() -> None:
    assert np.isnan(group_bootstrap(["a"] * 5, np.arange(5.0))).all()
    assert np.isnan(group_bootstrap(GROUPS, np.array([1.0, np.nan, 3.0, *[np.nan] * 5]))).all()


def test_draws_without_a_value_are_left_out_of_the_interval() -> None:
    values = np.array([0.5, 0.5, np.nan, np.nan])
    bootstrap = GroupBootstrap([None] * 4)
    assert np.isnan(bootstrap.means(values)).any()
    assert bootstrap.mean_interval(values).tolist() == [0.5, 0.5]


def test_a_statistic_that_no_draw_defines_has_no_interval() -> None:
    draws = np.stack([np.full(2000, np.nan), np.arange(2000.0)], axis=1)
    np.testing.assert_allclose(GroupBootstrap(GROUPS).interval(draws), [[np.nan, 49.975], [np.nan, 1949.025]])


def test_a_mean_as_json_is_the_mean_of_what_is_defined_with_its_interval() -> None:
    values = np.array([1.0, 2, 4, 8, 16, np.nan, 32, 64])
    found = GroupBootstrap(GROUPS).mean(values, median=True)
    assert (found["value"], found["n"], found["median"]) == (pytest.approx(127 / 7), 7, 8)
    assert found["ci95"] == list(group_bootstrap(GROUPS, values))
    assert GroupBootstrap(GROUPS).mean(np.full(8, np.nan)) == {"value": None, "ci95": None, "n": 0}
    assert GroupBootstrap(["a"] * 8).mean(np.ones(8)) == {"value": 1.0, "ci95": None, "n": 8}
