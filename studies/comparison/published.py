"""The published table that a comparison stands beside, and the arithmetic of what its figures can be.

The table is one of a random split of 2,870 slices into 2,009, 431 and 430. Here are only the figures that this project
was given; what it was not given is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

PUBLISHED_SPLIT: Mapping[str, int] = {"training": 2009, "validation": 431, "test": 430}
"""Slices in the published random split."""

PUBLISHED_OVERALL_FROM_CLASSES = 85.4
"""Per cent: the overall accuracy that the published class-wise accuracies imply if they are one-versus-rest."""


@dataclass(frozen=True)
class PublishedFigures:
    """What is published of one model.

    Args:
        accuracy: per cent, of the random split's test slices.
        precision: per cent; the average over classes is not named.
        recall: per cent; likewise.
        f1: per cent; likewise.
        parameters: the parameter count, in the source's words.
        thousand_classes: whether that is the count of the network with its 1000-class layer.
        file_size: of the weights, in the source's words.
        gpu_memory: in the source's words.
    """

    accuracy: float
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    parameters: str | None = None
    thousand_classes: bool = False
    file_size: str | None = None
    gpu_memory: str | None = None


PUBLISHED: Mapping[str, PublishedFigures] = {
    "ours": PublishedFigures(92.68, 92.76, 92.32, 92.35, "25.5M", True, "about 100 MB", "8 GB"),
    "resnet50": PublishedFigures(89.45, parameters="25.5M", thousand_classes=True),
    "vgg16": PublishedFigures(87.23, parameters="138M", thousand_classes=True),
    "unet": PublishedFigures(85.67, parameters="31.0M"),
    "efficientnet_b0": PublishedFigures(88.92, parameters="5.3M", thousand_classes=True),
}
"""By the names of :data:`~studies.comparison.models.TITLES`; ``ours`` is the model that this bundle builds."""


def counts_that_round_to(percent: float, n: int, decimals: int = 2) -> range:
    """Return the counts k of which 100 k / n, rounded, is the percentage; a tie may go either way.

    Args:
        percent: with at most so many decimals.
        n: how many there are, at least 1.
        decimals: to which the percentage was rounded.

    Example:
        >>> list(counts_that_round_to(33.33, 3)), list(counts_that_round_to(92.68, 430))
        ([1], [])
    """
    exact, half = Fraction(str(percent)), Fraction(1, 2 * 10**decimals)
    lowest = math.ceil((exact - half) * n / 100)
    highest = math.floor((exact + half) * n / 100)
    return range(max(lowest, 0), min(highest, n) + 1)


def is_possible_share(percent: float, n: int, decimals: int = 2) -> bool:
    """Return whether a count out of n gives the percentage: whether round(100 k / n, decimals) is it for a whole k."""
    return len(counts_that_round_to(percent, n, decimals)) > 0


def nearest_shares(percent: float, n: int) -> tuple[tuple[int, float], tuple[int, float]]:
    """Return the count just below (or at) a percentage and the next one, each with its own percentage.

    Raises:
        ValueError: the percentage is not in [0, 100).
    """
    if not 0 <= percent < 100:
        raise ValueError(f"{percent} is not in [0, 100): give a percentage that has a count above it")
    below = math.floor(Fraction(str(percent)) * n / 100)
    return (below, 100 * below / n), (below + 1, 100 * (below + 1) / n)


def possible_sizes(percent: float, sizes: Iterable[int], decimals: int = 2) -> list[int]:
    """Return those of the sizes of which a count gives the percentage."""
    return [n for n in sizes if is_possible_share(percent, n, decimals)]


def overall_from_one_versus_rest(accuracies: Sequence[float]) -> float:
    """Return the overall accuracy that follows from every class's one-versus-rest accuracy, all in [0, 1].

    A wrong prediction is wrong for two classes, the true and the named one, and right for the others. So the classes'
    errors add up to twice the overall error: overall = 1 - sum(1 - accuracy of class c) / 2.

    Args:
        accuracies: of all classes.
    """
    return 1 - sum(1 - accuracy for accuracy in accuracies) / 2
