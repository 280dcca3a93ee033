"""A detector of inputs that are no brain MRI slices: how far the network's features are from those of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

DIRECTIONS = 8
"""Principal directions of each stage in which slices are expected to vary."""

OFFSET = 0.01
"""Added to a feature before its logarithm, so that a channel that is off has one."""

CLIP = 10.0
"""A channel counts as at most so many standard deviations off: no single one can dominate."""


@dataclass(frozen=True, eq=False)
class FeatureDetector:
    """What is left of the features when the main ways in which brain slices vary are taken out, per encoder stage.

    A feature f_c >= 0 is a channel's mean over the picture. With m and s the mean and standard deviation of
    log(f_c + 0.01) over the training's slices, and V the first 8 principal directions of one stage's C channels:

        z_c = clip((log(f_c + 0.01) - m_c) / s_c, -10, 10)
        d = sqrt(mean_c (z - V' V z)_c^2)
        score = max over the stages of d / reach

    where ``reach`` is a quantile of the stage's d over slices that the training did not see. This is the error of a
    reconstruction by principal components (Jackson and Mudholkar 1979, https://doi.org/10.1080/00401706.1979.10489779,
    their Q), on the features of a network.

    Raises:
        ValueError: shapes do not match, or a number is not finite or not above 0 where it must be.
    """

    mean: NDArray[np.float64]  # (F,) m of all stages, one after the other
    scale: NDArray[np.float64]  # (F,) s, all above 0
    directions: NDArray[np.float64]  # (Q, F) the stages' V, one beside the other
    stages: tuple[int, ...]  # how many channels each stage has; they sum to F
    reach: NDArray[np.float64]  # (S,) for each stage, above 0
    threshold: float  # scores above it are unusual; about 1
    quantile: float  # the share of held-out slices whose score is at or below the threshold

    def __post_init__(self) -> None:
        count = sum(self.stages)
        shapes = [self.mean.shape, self.scale.shape, self.directions.shape[1:], self.reach.shape]
        if self.directions.ndim != 2 or shapes != [(count,)] * 3 + [(len(self.stages),)]:
            raise ValueError(f"the detector's numbers are of shapes {shapes}, which do not belong together")
        arrays = (self.mean, self.scale, self.directions, self.reach)
        if not all(np.isfinite(part).all() for part in (*arrays, self.threshold, self.quantile)):
            raise ValueError("some of the detector's numbers are not finite")
        if not ((self.scale > 0).all() and (self.reach > 0).all()):
            raise ValueError("the detector's scale and reach must be above 0")

    @classmethod
    def fit(
        cls, training: ArrayLike, held_out: ArrayLike, quantile: float = 0.99, stages: Sequence[int] | None = None
    ) -> FeatureDetector:
        """Fit means, deviations and directions to the training's slices, and reach and threshold to others.

        Args:
            training: (N, F) features >= 0, N > 1.
            held_out: (M, F) features of slices that the training did not see, M > 0.
            quantile: in (0, 1]: this share of the held-out slices raises no alarm.
            stages: how many channels each stage has; by default those of a ResNet, each twice the one before,
                if F is such a sum, else one stage.

        Raises:
            ValueError: too few slices, features that are not finite, or numbers that do not match.
        """
        known = _features(training)
        if len(known) < 2 or not np.isfinite(known).all():
            raise ValueError(f"at least 2 slices with finite features are needed, got {known.shape}.")
        if not 0 < quantile <= 1:
            raise ValueError(f"quantile must be in (0, 1], got {quantile}.")
        count = known.shape[1]
        sizes = _resnet_stages(count) if stages is None else tuple(stages)
        if sum(sizes) != count:
            raise ValueError(f"the stages {sizes} do not sum to {count} features.")
        values = _logarithm(known)
        scale = values.std(axis=0)
        # A channel that hardly varies would call rounding a deviation: it counts as varying a little, as others do.
        typical = [max(float(np.median(part)), 1e-6) for part in _split(scale, sizes)]
        mean = _rounded(values.mean(axis=0), 6)
        scale = _rounded(np.maximum(scale, 0.01 * np.repeat(typical, sizes)), 6)
        z = np.clip((values - mean) / scale, -CLIP, CLIP)
        wanted = min(DIRECTIONS, len(known) - 1, *sizes)
        parts = [np.linalg.svd(part, full_matrices=False)[2][:wanted] for part in _split(z, sizes)]
        directions = _rounded(np.concatenate(parts, axis=1), 4)
        blank = cls(mean, scale, directions, sizes, np.ones(len(sizes)), 1.0, float(quantile))
        return blank.refitted(held_out)

    def refitted(self, held_out: ArrayLike) -> FeatureDetector:
        """Return the same detector with reach and threshold fitted to other slices' features, (M, F).

        Raises:
            ValueError: there is no slice, or features that are not finite or of another number.
        """
        distances = self.distances(held_out)
        if len(distances) == 0 or not np.isfinite(distances).all():
            raise ValueError("at least one held-out slice is needed, and features that are finite.")
        reach = np.maximum(np.quantile(distances, self.quantile, axis=0, method="higher"), 1e-6)
        threshold = float(np.quantile((distances / reach).max(axis=1), self.quantile, method="higher"))
        return replace(self, reach=reach, threshold=threshold)

    def distances(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return each slice's d in each stage, (N, S) >= 0, of (N, F) features; infinite where one is not finite.

        Raises:
            ValueError: the number of features is not that of the fit.
        """
        values = _features(features)
        if values.shape[1] != len(self.mean):
            raise ValueError(f"features (N, {len(self.mean)}) are needed, got {values.shape}.")
        finite = np.isfinite(values).all(axis=1, keepdims=True)
        z = np.clip((_logarithm(np.where(np.isfinite(values), values, 0)) - self.mean) / self.scale, -CLIP, CLIP)
        left = [
            part - (part @ axes.T) @ axes
            for part, axes in zip(_split(z, self.stages), _split(self.directions, self.stages), strict=True)
        ]
        found = np.sqrt(np.stack([(part**2).mean(axis=1) for part in left], axis=1))
        return np.where(finite, found, np.inf)

    def score(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return each slice's score, (N,) >= 0, never NaN, as :meth:`distances` does."""
        return (self.distances(features) / self.reach).max(axis=1)

    def is_unusual(self, features: ArrayLike) -> NDArray[np.bool_]:
        """Return which slices lie beyond the threshold, (N,), as :meth:`score` does."""
        return self.score(features) > self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return the constants as plain values."""
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> FeatureDetector:
        """Return the detector that ``to_dict`` gave.

        Raises:
            ValueError: an entry is absent or makes no sense.
        """
        missing = [field.name for field in fields(cls) if field.name not in content]
        if missing:
            raise ValueError(f"its detector lacks {', '.join(missing)}")
        names = ("mean", "scale", "directions", "reach")
        mean, scale, directions, reach = (np.asarray(content[name], dtype=float) for name in names)
        stages = tuple(int(size) for size in content["stages"])
        return cls(mean, scale, directions, stages, reach, float(content["threshold"]), float(content["quantile"]))


def _features(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=float)
    if found.ndim != 2:
        raise ValueError(f"features (N, F) are needed, got {found.shape}.")
    return found


def _logarithm(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.maximum(features, 0) + OFFSET)


def _split(values: NDArray[np.float64], sizes: Sequence[int]) -> list[NDArray[np.float64]]:
    return np.split(values, np.cumsum(sizes)[:-1], axis=-1)


def _rounded(values: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """Keep so many significant digits, for a small file."""
    return np.vectorize(lambda value: float(f"{value:.{digits}g}"), otypes=[float])(values)


def _resnet_stages(count: int) -> tuple[int, ...]:
    first, rest = divmod(count, 64 * 15)
    return (count,) if rest or not first else tuple(64 * first * 2**stage for stage in range(4))
