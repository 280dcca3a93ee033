"""What an evaluation of maps keeps of each slice."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from braintumor_ext.classes import Classes
from braintumor_ext.plain_text import csv_row

SCORES: tuple[str, ...] = ("pointing", "pointing_tolerant", "energy_share", "iou", "deletion", "insertion")
"""What a map is scored by; the higher the better, but for deletion."""


@dataclass(frozen=True, slots=True)
class ScoredMap:
    """One map of one slice; all values in [0, 1].

    Args:
        pointing: share of the map's maxima in the mask.
        pointing_tolerant: the same within the tolerance.
        energy_share: share of the map's sum in the mask.
        iou: of the mask and the map above its method's threshold.
        deletion_curve: the explained class's probability at each step.
        empty: whether the map is 0 everywhere.
    """

    pointing: float
    pointing_tolerant: float
    energy_share: float
    iou: float
    deletion: float
    insertion: float
    deletion_curve: tuple[float, ...] = ()
    insertion_curve: tuple[float, ...] = ()
    empty: bool = False


@dataclass(frozen=True, slots=True)
class ExplainedSlice:
    """One slice and its maps, each of the predicted class.

    Args:
        predicted_class: the class index that is explained.
        area_share: share of the slice that the true mask covers.
        maps: the method's or the baseline's name to its map's scores.
    """

    image: str
    group: str | None
    true_class: int
    predicted_class: int
    probability: float
    area_share: float
    maps: Mapping[str, ScoredMap]

    @property
    def right(self) -> bool:
        """Whether the prediction is right."""
        return self.true_class == self.predicted_class


def write_slices(slices: Iterable[ExplainedSlice], path: str | PathLike[str], classes: Classes) -> None:
    """Write one CSV row for each slice and map."""
    columns = ["image", "group", "true_class", "predicted_class", "probability", "right", "map", "area_share"]
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, *SCORES, "empty"])
        for one in slices:
            named = [one.image, one.group or "", classes[one.true_class], classes[one.predicted_class]]
            about = [*named, round(one.probability, 6), int(one.right)]
            for name, scored in one.maps.items():
                values = [round(getattr(scored, score), 6) for score in SCORES]
                writer.writerow(csv_row([*about, name, round(one.area_share, 6), *values, int(scored.empty)]))
