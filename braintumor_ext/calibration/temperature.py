"""Temperature scaling: one number that makes probabilities as bold as the model is right."""

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
