"""Intervals for statistics of slices that come in groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from braintumor_ext.keys import UNKNOWN

Estimate = dict[str, Any]
"""``value`` and ``ci95``, [lower, upper]; None where undefined. Of a mean also ``n``, the number of values."""

LEVEL = 0.95  # the share of draws in an interval
CHUNK = 250  # draws whose slice weights are held at once: 2,000 draws of some thousand slices would fill memory


class GroupBootstrap:
    """Resamples whole groups with replacement (the cluster bootstrap, Davison and Hinkley 1997, section 3.8).

    Slices of one patient resemble each other: resampling them one by one would make intervals too narrow. The draws are
    made once, as the number of times that each group is drawn, so that all statistics of a report are of the same
    draws and a sum over the drawn slices is a matrix product.

    Args:
        groups: each slice's group; a slice whose group is None is a group by itself.
    """

    def __init__(self, groups: Sequence[str | None], n_draws: int = 2000, seed: int = 0) -> None:
        self.n_draws, self.seed = n_draws, seed
        names = [("", str(i)) if group is None else (group, "grouped") for i, group in enumerate(groups)]
        index = {name: i for i, name in enumerate(dict.fromkeys(names))}
        self.group_index = np.array([index[name] for name in names], dtype=np.int64)
        self.n_groups = len(index)
        chance = np.full(self.n_groups, 1 / max(self.n_groups, 1))
        self.times_drawn = np.random.default_rng(seed).multinomial(self.n_groups, chance, size=n_draws)

    def stated(self) -> dict[str, Any]:
        """Return what a report says of the intervals."""
        return {"unit": "group", "n_groups": self.n_groups, "n_draws": self.n_draws, "seed": self.seed, "level": LEVEL}

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return each draw's sum, (D, ...), of a finite value over its slices, (N, ...)."""
        values = np.asarray(values, dtype=float)
        of_groups = np.zeros((self.n_groups, *values.shape[1:]))
        np.add.at(of_groups, self.group_index, values)
        return np.tensordot(self.times_drawn.astype(float), of_groups, axes=1)

    def confusions(self, true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
        """Return each draw's confusion matrix, (D, K, K), of (N,) class indices; -1 in ``true`` counts for nothing."""
        known = true != UNKNOWN
        cells = np.where(known, true, 0) * num_classes + predicted
        return self.sums(np.eye(num_classes**2)[cells] * known[:, None]).reshape(-1, num_classes, num_classes)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return each draw's mean, (D,), of the values, (N,), that are not NaN; NaN for a draw that has none."""
        defined = ~np.isnan(values)
        total, count = self.sums(np.where(defined, values, 0.0)), self.sums(defined)
        return np.divide(total, count, out=np.full(self.n_draws, np.nan), where=count > 0)

    def mean_interval(self, values: np.ndarray) -> np.ndarray:
        """Return the 95% interval, (2,), of the mean of the values, (N,), that are not NaN.

        Values of one group alone have none (NaN): all draws agree, which says nothing of other groups.
        """
        if len(np.unique(self.group_index[~np.isnan(values)])) < 2:
            return np.full(2, np.nan)
        return self.interval(self.means(values))

    def estimate(self, value: float | np.ndarray, draws: np.ndarray) -> Estimate:
        """Return a statistic with its 95% interval by that of each draw, (D,), as JSON can hold it."""
        return _estimate(value, self.interval(draws))

    def mean(self, values: np.ndarray, median: bool = False) -> Estimate:
        """Return the mean of the values, (N,), that are not NaN, with its 95% interval, perhaps the ``median``."""
        values = np.asarray(values, dtype=float)
        defined = values[~np.isnan(values)]
        value = defined.mean() if len(defined) else np.nan
        middle = {"median": float(np.median(defined)) if len(defined) else None} if median else {}
        return {**_estimate(value, self.mean_interval(values)), "n": len(defined), **middle}

    def slice_weights(self) -> Iterator[np.ndarray]:
        """Yield, for successive chunks of draws, how often each slice is drawn: (d, N) with d summing to D."""
        for start in range(0, self.n_draws, CHUNK):
            yield self.times_drawn[start : start + CHUNK][:, self.group_index]

    def interval(self, draws: np.ndarray) -> np.ndarray:
        """Return the 95% percentile interval, (2, ...), of the draws of a statistic, (D, ...).

        Efron 1979, https://doi.org/10.1214/aos/1176344552. Draws in which the statistic is undefined (NaN) are left
        out; one group alone has no interval (NaN).
        """
        ends = np.full((2, *draws.shape[1:]), np.nan)
        defined = ~np.isnan(draws).all(axis=0)
        if self.n_groups > 1:
            outside = 100 * (1 - LEVEL) / 2
            ends[:, defined] = np.nanpercentile(draws[:, defined], [outside, 100 - outside], axis=0)
        return ends


def _estimate(value: float | np.ndarray, ends: np.ndarray) -> Estimate:
    defined = bool(np.isfinite(value))
    return {
        "value": float(value) if defined else None,
        "ci95": ends.tolist() if defined and bool(np.isfinite(ends).all()) else None,
    }


def group_bootstrap(
    groups: Sequence[str | None], values: np.ndarray, n_draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95% interval of the mean of the values, (N,), that are not NaN; see :class:`GroupBootstrap`."""
    lower, upper = GroupBootstrap(groups, n_draws, seed).mean_interval(np.asarray(values, dtype=float))
    return float(lower), float(upper)
