"""How sure a difference between two models is, whose answers come in groups."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.bootstrap import Estimate, GroupBootstrap
from braintumor_ext.metrics.classification import confusion_matrix, rates


@dataclass(frozen=True)
class PairedDifference:
    """A difference of two models on the same slices.

    Args:
        n: the slices that count.
        value: a - b; None where undefined.
        ci95: the 95% interval; None where fewer than two groups count.
        p: two-sided, of no difference; None where there is no interval.
    """

    n: int
    value: float | None
    ci95: list[float] | None
    p: float | None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p values so that the chance of any false claim among them stays below the level (Holm 1979).

    https://www.jstor.org/stable/4615733. The i-th smallest of m is multiplied by m - i + 1, is at least the one before
    it and at most 1.

    Args:
        p_values: in [0, 1]; None or NaN where a comparison has none, which does not count among the m.

    Returns:
        The adjusted values in the same order; None where there was none.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    known = [(p, index) for index, p in enumerate(p_values) if p is not None and not np.isnan(p)]
    largest = 0.0
    for rank, (p, index) in enumerate(sorted(known)):
        largest = max(largest, min((len(known) - rank) * p, 1.0))
        adjusted[index] = largest
    return adjusted


def mcnemar_exact(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """Return the two-sided exact p of McNemar's test that two models are right, (N,) bool each, equally often.

    McNemar 1947, https://doi.org/10.1007/BF02295996: of the slices that one of the two alone gets right, each is as
    likely to have it right. It takes slices as independent.
    """
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_differences(
    true: np.ndarray,
    predicted: tuple[np.ndarray, np.ndarray],
    dice: tuple[np.ndarray, np.ndarray],
    groups: Sequence[str | None],
    num_classes: int,
    n_draws: int = 2000,
    seed: int = 0,
) -> dict[str, PairedDifference]:
    """Return the differences of two models' accuracy, macro F1 and mean Dice, by paired bootstrap over groups.

    Every draw takes the same groups for both models, so that what makes a group hard for both cancels out. The interval
    is the percentile interval; p is of :func:`two_sided_p`.

    Args:
        true: (N,) class indices; slices of unknown class (-1) count for Dice alone.
        predicted: both models' (N,) class indices.
        dice: both models' (N,) Dice; NaN where undefined, and then the slice does not count.
        groups: each slice's group; a slice whose group is None is a group by itself.
        num_classes: K.
        n_draws: draws of the bootstrap.

    Returns:
        ``accuracy``, ``macro_f1`` and ``dice``.
    """
    if len(true) == 0:
        return {name: PairedDifference(0, None, None, None) for name in ("accuracy", "macro_f1", "dice")}
    bootstrap = GroupBootstrap(groups, n_draws, seed)
    known = true != UNKNOWN
    points, draws = [], []
    for answers in predicted:
        draws.append(rates(bootstrap.confusions(true, answers, num_classes)))
        points.append(rates(confusion_matrix(true[known], answers[known], num_classes)))
    found = {
        name: _tested(float(points[0][name] - points[1][name]), draws[0][name] - draws[1][name], known, bootstrap)
        for name in ("accuracy", "macro_f1")
    }
    gains = dice[0] - dice[1]
    scored = ~np.isnan(gains)
    mean = float(gains[scored].mean()) if scored.any() else float("nan")
    return {**found, "dice": _tested(mean, bootstrap.means(gains), scored, bootstrap)}


def _tested(value: float, draws: np.ndarray, counts: np.ndarray, bootstrap: GroupBootstrap) -> PairedDifference:
    n = int(counts.sum())
    if n == 0:
        return PairedDifference(0, None, None, None)
    if len(np.unique(bootstrap.group_index[counts])) < 2:  # all draws agree, which says nothing of other groups
        return PairedDifference(n, value, None, None)
    return PairedDifference(n, value, [float(end) for end in bootstrap.interval(draws)], two_sided_p(draws))


def two_sided_p(draws: np.ndarray) -> float:
    """Return the two-sided p of no difference from a bootstrap's draws of the difference, NaN left out, in (0, 1].

    Twice the share of draws at or beyond 0 on the rarer side, with one added to their count and to the number of draws,
    so that it is never 0 (Davison and Hinkley 1997, section 4.2).
    """
    defined = draws[~np.isnan(draws)]
    # Sums in another order differ in their last digits: a difference that small is none.
    below, above = int((defined <= 1e-12).sum()), int((defined >= -1e-12).sum())
    return min(2 * (min(below, above) + 1) / (len(defined) + 1), 1.0)


def group_weighted_mean(
    values: np.ndarray, groups: Sequence[str | None], n_draws: int = 2000, seed: int = 0
) -> Estimate:
    """Return the mean over groups of each group's mean, with its 95% interval by bootstrap over groups.

    Args:
        values: (N,) one for each slice; NaN where undefined. A group without a defined value does not count.
        groups: each slice's group; a slice whose group is None is a group by itself.
        n_draws: draws of the bootstrap.
    """
    members: dict[Hashable, list[float]] = {}
    for index, (value, group) in enumerate(zip(values, groups, strict=True)):
        if not np.isnan(value):
            members.setdefault(index if group is None else group, []).append(float(value))
    if not members:
        return {"value": None, "ci95": None}
    means = np.array([np.mean(of_group) for of_group in members.values()])
    found = GroupBootstrap([None] * len(means), n_draws, seed).mean(means)
    return {name: found[name] for name in ("value", "ci95")}
