"""How right a network is on a section of a datalist: what a change of its arithmetic is judged by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SectionScores:
    """The scores of N slices.

    Args:
        n: slices predicted.
        accuracy: share of the slices of known class, in [0, 1], that are right; None where no class is known.
        dice: mean Dice, in [0, 1], of the slices whose true mask is not empty, on their own grid; None where there is
            none.
        classes: each slice's predicted class index, in the items' order.
    """

    n: int
    accuracy: float | None
    dice: float | None
    classes: tuple[int, ...]
