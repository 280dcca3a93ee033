from __future__ import annotations

from math import comb

import numpy as np
import pytest
import sklearn.metrics

from braintumor_ext.metrics import GroupBootstrap, group_bootstrap
from studies.comparison.paired import (
    PairedDifference,
    group_weighted_mean,
    holm,
    mcnemar_exact,
    paired_differences,
    two_sided_p,
)

NAN = float("nan")


def slices(n: int = 120, seed: int = 0, right: tuple[float, float] = (0.9, 0.6)) -> dict:
    """Two models' answers to slices of three classes in groups of about four; the first is right more often."""
    rng = np.random.default_rng(seed)
    true = rng.integers(3, size=n)

    def answers(share: float) -> np.ndarray:
        return np.where(rng.random(n) < share, true, (true + rng.integers(1, 3, size=n)) % 3)

    dice = rng.random(n)
    dice[true == 2] = NAN
    return {
        "true": true,
        "predicted": (answers(right[0]), answers(right[1])),
        "dice": (np.minimum(dice + 0.1, 1), dice),
        "groups": [f"g{index}" for index in rng.integers(n // 4, size=n)],
    }


def defined(found: PairedDifference) -> list[float]:
    """The lower end, the difference and the upper end."""
    assert found.value is not None
    assert found.ci95 is not None
    return [found.ci95[0], found.value, found.ci95[1]]


# Holm


def test_holm_of_hand_worked_values() -> None:
    # sorted: 0.005 x 4, 0.01 x 3 = 0.03, 0.03 x 2 = 0.06, 0.04 x 1 = 0.04, which is not less than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.7, 0.8, 0.9]) == [1, 1, 1]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_holm_leaves_out_comparisons_without_p() -> None:
    assert holm([None, 0.01, NAN, 0.04]) == [None, pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([None]) == [None]


def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order() -> None:
    p = np.random.default_rng(0).random(9) ** 3
    adjusted = np.array(holm(p.tolist()), dtype=float)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(9 * p, 1) + 1e-12).all()
    assert adjusted[p.argmin()] == pytest.approx(9 * p.min())
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_holm_claims_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = rng.random(6) ** 4
        rejected = np.zeros(6, dtype=bool)
        for step, index in enumerate(np.argsort(p)):
            if p[index] > 0.05 / (6 - step):
                break
            rejected[index] = True
        np.testing.assert_array_equal(np.array(holm(p.tolist()), dtype=float) <= 0.05, rejected)


# McNemar


def test_mcnemar_is_the_sum_of_binomial_terms() -> None:
    right_a = np.array([True] * 10 + [True] * 8 + [False] * 2 + [False] * 5)
    right_b = np.array([True] * 10 + [False] * 8 + [True] * 2 + [False] * 5)
    expected = 2 * sum(comb(10, k) for k in range(3)) / 2**10
    assert mcnemar_exact(right_a, right_b) == pytest.approx(expected)
    assert mcnemar_exact(right_b, right_a) == pytest.approx(expected)


def test_mcnemar_of_models_that_are_wrong_on_the_same_slices_is_1() -> None:
    right = np.array([True, False, True])
    assert mcnemar_exact(right, right) == 1
    assert mcnemar_exact(np.array([]), np.array([])) == 1
    assert mcnemar_exact(np.array([True, False]), np.array([False, True])) == 1


# paired differences


def test_differences_and_their_draws_are_those_of_the_repeated_slices() -> None:
    given = slices()
    given["true"] = np.where(np.arange(120) % 10 == 0, -1, given["true"])  # some classes unknown
    true, (a, b), (dice_a, dice_b) = given["true"], given["predicted"], given["dice"]
    found = paired_differences(**given, num_classes=3, n_draws=25, seed=5)

    def difference(of: np.ndarray) -> list[float]:
        known, scored = of[true[of] != -1], of[~np.isnan(dice_a[of])]

        def f1(answers: np.ndarray) -> float:
            return sklearn.metrics.f1_score(true[known], answers[known], average="macro")

        right_a, right_b = (np.mean(true[known] == answers[known]) for answers in (a, b))
        return [right_a - right_b, f1(a) - f1(b), dice_a[scored].mean() - dice_b[scored].mean()]

    weights = np.concatenate(list(GroupBootstrap(given["groups"], n_draws=25, seed=5).slice_weights()))
    draws = np.array([difference(np.repeat(np.arange(120), times)) for times in weights])
    for index, (name, n) in enumerate({"accuracy": 108, "macro_f1": 108, "dice": (~np.isnan(dice_a)).sum()}.items()):
        assert found[name].n == n
        assert found[name].value == pytest.approx(difference(np.arange(120))[index])
        assert found[name].ci95 == pytest.approx(np.percentile(draws[:, index], [2.5, 97.5]))
        below, above = (draws[:, index] <= 0).sum(), (draws[:, index] >= 0).sum()
        assert found[name].p == pytest.approx(min(1, 2 * (1 + min(below, above)) / 26))


def test_a_clear_winner_has_an_interval_above_0_and_the_least_p_there_is() -> None:
    for found in paired_differences(**slices(400), num_classes=3, n_draws=500).values():
        lower, value, upper = defined(found)
        assert 0 < lower <= value <= upper
        assert found.p == pytest.approx(2 / 501)


def test_a_model_does_not_differ_from_itself() -> None:
    given = slices()
    given |= {"predicted": (given["predicted"][0],) * 2, "dice": (given["dice"][0],) * 2}
    for found in paired_differences(**given, num_classes=3, n_draws=100).values():
        assert (found.value, found.ci95, found.p) == (0, [0, 0], 1)


def test_exchanged_models_have_the_opposite_difference_and_the_same_p() -> None:
    given = slices(right=(0.75, 0.7))
    there = paired_differences(**given, num_classes=3, n_draws=200)
    back = paired_differences(
        **{**given, "predicted": given["predicted"][::-1], "dice": given["dice"][::-1]}, num_classes=3, n_draws=200
    )
    for name, found in there.items():
        assert defined(back[name]) == pytest.approx([-number for number in defined(found)[::-1]])
        assert back[name].p == pytest.approx(found.p)


def test_slices_of_one_group_count_as_one_when_they_are_copies() -> None:
    once = slices(40, right=(0.8, 0.6))
    copied = {
        "true": once["true"].repeat(9),
        "predicted": tuple(values.repeat(9) for values in once["predicted"]),
        "dice": tuple(values.repeat(9) for values in once["dice"]),
    }

    def widths(groups: list) -> dict[str, float]:
        found = paired_differences(**copied, groups=groups, num_classes=3)
        return {name: np.ptp(defined(found[name])) for name in ("accuracy", "macro_f1")}

    grouped, slice_wise = widths([f"g{index // 9}" for index in range(360)]), widths([None] * 360)
    for name in grouped:
        assert grouped[name] / slice_wise[name] == pytest.approx(3, rel=0.15)


def test_pairing_narrows_the_interval_of_models_that_fail_on_the_same_slices() -> None:
    rng = np.random.default_rng(3)
    true, easy = np.zeros(500, dtype=int), rng.random(500) < 0.7
    a = np.where(easy, 0, 1)
    b = np.where(rng.random(500) < 0.02, 1, a)
    nothing = (np.full(500, NAN),) * 2
    paired = np.ptp(defined(paired_differences(true, (a, b), nothing, [None] * 500, 2)["accuracy"]))
    alone = group_bootstrap([None] * 500, (a == true).astype(float))
    assert paired < (alone[1] - alone[0]) / 2


def test_what_is_undefined_is_none() -> None:
    given = slices(30)
    given["dice"] = (given["dice"][0], np.full(30, NAN))  # the second has no masks
    found = paired_differences(**given, num_classes=3, n_draws=20)["dice"]
    assert (found.n, found.value, found.ci95, found.p) == (0, None, None, None)
    one_group = paired_differences(**{**given, "groups": ["a"] * 30}, num_classes=3, n_draws=20)["accuracy"]
    assert one_group.value is not None
    assert (one_group.n, one_group.ci95, one_group.p) == (30, None, None)
    empty = np.array([], dtype=int)
    assert paired_differences(empty, (empty, empty), (empty, empty), [], 3)["macro_f1"].n == 0


def test_p_is_about_that_of_a_normal_distribution() -> None:
    draws = np.random.default_rng(0).normal(1.96, 1, size=20_000)
    assert two_sided_p(draws) == pytest.approx(0.05, abs=0.005)
    assert two_sided_p(np.append(draws, NAN)) == two_sided_p(draws)


# each group weighs the same


def test_each_group_weighs_the_same() -> None:
    found = group_weighted_mean(np.array([1.0, 1, 1, 0, NAN, 0.5, NAN]), ["a", "a", "a", "b", "b", None, "c"])
    assert found["value"] == pytest.approx((1 + 0 + 0.5) / 3)


def test_groups_of_one_size_give_the_plain_mean_and_its_interval() -> None:
    values = np.random.default_rng(0).random(200)
    groups = [f"g{index // 4}" for index in range(200)]
    found = group_weighted_mean(values, groups)
    assert found["value"] == pytest.approx(values.mean())
    assert found["ci95"] == pytest.approx(group_bootstrap(groups, values), abs=1e-9)


def test_group_weighted_mean_of_nothing_is_undefined_and_of_one_group_has_no_interval() -> None:
    assert group_weighted_mean(np.array([NAN, NAN]), ["a", "b"]) == {"value": None, "ci95": None}
    assert group_weighted_mean(np.array([]), []) == {"value": None, "ci95": None}
    assert group_weighted_mean(np.array([1.0, 0, NAN]), ["a", "a", "b"]) == {"value": 0.5, "ci95": None}
