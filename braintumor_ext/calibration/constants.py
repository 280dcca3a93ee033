"""The constants of a calibration.

A temperature makes probabilities as bold as the model is right; from a threshold on a prediction is right often enough
to stand without a warning.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from braintumor_ext.keys import UNKNOWN

BOUNDS = (0.05, 20.0)
"""The least and the largest temperature: where all slices are right, or none can be told, there would be no end."""


def fit_temperature(logits: ArrayLike, classes: ArrayLike) -> float:
    """Return the temperature T in [0.05, 20] with the least negative log-likelihood of softmax(logits / T).

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 9. The likelihood is concave in 1 / T, so it has one
    maximum. T > 1 makes probabilities more cautious, T < 1 bolder; the predicted class stays.

    Args:
        logits: (N, K), finite.
        classes: (N,) class indices; slices of unknown class (-1) are left out.

    Raises:
        ValueError: shapes do not match, a logit is not finite, or no class is known.
    """
    values, true = np.asarray(logits, dtype=float), np.asarray(classes)
    if values.ndim != 2 or true.shape != values.shape[:1]:
        raise ValueError(f"logits (N, K) and classes (N,) are needed, got {values.shape} and {true.shape}.")
    known = true != UNKNOWN
    values, true = values[known], true[known]
    if len(true) == 0:
        raise ValueError("no slice of known class: a temperature cannot be fitted.")
    if not np.isfinite(values).all():
        raise ValueError("some logits are not finite.")

    def loss(log_temperature: float) -> float:
        return -log_softmax(values / np.exp(log_temperature), axis=1)[np.arange(len(true)), true].mean()

    # on a logarithmic scale halving and doubling count the same
    found = minimize_scalar(loss, bounds=tuple(np.log(BOUNDS)), method="bounded", options={"xatol": 1e-6})
    return float(np.clip(np.exp(found.x), *BOUNDS))


def scaled_probabilities(logits: ArrayLike, temperature: float | NDArray = 1.0) -> NDArray[np.float64]:
    """Return softmax(logits / T), (N, K), of logits (N, K) and T > 0, or (N, 1) for one of each slice."""
    return softmax(np.asarray(logits, dtype=float) / temperature, axis=1)


UNREACHABLE = 1.0
"""The threshold where no confidence reaches the target: all but complete certainty is flagged."""


def confidence_threshold(confidence: ArrayLike, correct: ArrayLike, target: float = 0.95) -> float:
    """Return the smallest confidence such that the slices at or above it are right at least ``target`` of the time.

    Selective classification by the softmax response: El-Yaniv and Wiener 2010,
    https://jmlr.org/papers/v11/el-yaniv10a.html; Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500. There is
    no bound for new slices in it: measure the share that is right on slices that the threshold was not chosen on.

    Args:
        confidence: (N,) highest class probabilities in [0, 1]; slices of the same confidence stand or fall together.
        correct: (N,) whether the predicted class is right.
        target: share in (0, 1].

    Returns:
        0 if all slices together reach the target; 1 if no threshold does: then everything below certainty is flagged.

    Raises:
        ValueError: shapes do not match, there is no slice, or the target is not in (0, 1].
    """
    sure, right = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=bool)
    if sure.ndim != 1 or sure.shape != right.shape or len(sure) == 0:
        raise ValueError(f"confidence and correct must be (N,) with N > 0, got {sure.shape} and {right.shape}.")
    if not 0 < target <= 1:
        raise ValueError(f"target must be in (0, 1], got {target}.")
    levels, position = np.unique(sure, return_inverse=True)
    hits = np.bincount(position, weights=right)[::-1].cumsum()[::-1]
    counts = np.bincount(position)[::-1].cumsum()[::-1]
    reached = np.flatnonzero(hits >= target * counts - 1e-9)  # 19 of 20 are 0.95, whatever the rounding
    if len(reached) == 0:
        return UNREACHABLE
    return 0.0 if reached[0] == 0 else float(levels[reached[0]])
