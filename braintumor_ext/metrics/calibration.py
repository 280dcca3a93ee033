"""How far the probabilities can be believed: calibration error, negative log-likelihood and Brier score.

Everywhere ``true`` is (N,) class indices, ``probabilities`` (N, K), and M bins are of equal width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_BINS = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBins:
    """Sums over the slices whose confidence lies in each of B equal-width bins."""

    count: np.ndarray  # (..., B) slices
    confidence: np.ndarray  # (..., B) sum of the top-label confidences
    correct: np.ndarray  # (..., B) slices whose top label is right

    @property
    def edges(self) -> np.ndarray:
        """(B + 1,) confidences that the bins lie between; a bin holds its upper edge."""
        return np.linspace(0, 1, self.count.shape[-1] + 1)

    def expected_calibration_error(self) -> np.ndarray:
        """Return the expected calibration error of the top label, in [0, 1]; NaN without slices."""
        total = self.count.sum(-1)
        gaps = np.abs(self.confidence - self.correct).sum(-1)
        return np.divide(gaps, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def reliability_contributions(true: np.ndarray, probabilities: np.ndarray, n_bins: int = N_BINS) -> ReliabilityBins:
    """Return what each slice adds to the bins of Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.

    Bin m of M holds the confidences in ((m - 1) / M, m / M]. Summing over the slices gives the bins of a set.
    """
    confidence = probabilities.max(1)
    bins = np.digitize(confidence, np.linspace(0, 1, n_bins + 1)[1:-1], right=True)
    member = np.eye(n_bins)[bins]
    correct = probabilities.argmax(1) == true
    return ReliabilityBins(member, member * confidence[:, None], member * correct[:, None])


def reliability_bins(true: np.ndarray, probabilities: np.ndarray, n_bins: int = N_BINS) -> ReliabilityBins:
    """Return the bins, of shape (n_bins,), of a set of slices."""
    each = reliability_contributions(true, probabilities, n_bins)
    return ReliabilityBins(each.count.sum(0), each.confidence.sum(0), each.correct.sum(0))


def expected_calibration_error(true: np.ndarray, probabilities: np.ndarray, n_bins: int = N_BINS) -> float:
    """Return the expected calibration error of the top label, in [0, 1]; NaN without slices."""
    return float(reliability_bins(true, probabilities, n_bins).expected_calibration_error())


def negative_log_likelihoods(true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each slice's negative natural logarithm of the true class's probability.

    As in scikit-learn's ``log_loss``, a probability of 0 counts as the smallest step of a double: 36.04.
    """
    of_true = probabilities[np.arange(len(true)), true]
    return -np.log(np.clip(of_true, np.finfo(float).eps, 1.0))


def brier_scores(true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each slice's squared error summed over the classes, in [0, 2].

    Brier 1950, https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2, equation 2; a uniform guess
    over K classes scores 1 - 1/K.
    """
    return ((probabilities - np.eye(probabilities.shape[1])[true]) ** 2).sum(1)
