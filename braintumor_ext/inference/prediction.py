"""The prediction about one slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.data.classes import display_name
from braintumor_ext.errors import InputError
from braintumor_ext.transforms.shrink import nearest, shrunk_size
from braintumor_ext.visualize import draw_overlay

NOT_CALIBRATED = "not calibrated"
"""What a picture says of probabilities as the network gives them."""


@dataclass(frozen=True)
class Prediction:
    """What a slice shows, where, and why; arrays are on the slice's own grid, as a person sees it.

    Args:
        source: the slice's file, or a name for an array in memory.
        label: the name of the most probable class; None where the slice could not be predicted.
        class_index: its index; None where there is no label.
        probabilities: each class's name to its probability; they sum to 1.
        mask: (H, W) bool, tumour; the network's, whatever the class.
        heat_map: (H, W) float32 in [0, 1], what the prediction rests on; None without an explanation.
        flags: what to be careful about, such as ``low confidence``.
        calibrated: whether the probabilities are calibrated.
        error: why there is no prediction; None where there is one.
        image: (H, W) float32 in [0, 1], the slice in grey, a very large one shrunk by whole factors; None where it was
            not kept.
    """

    source: str
    label: str | None = None
    class_index: int | None = None
    probabilities: dict[str, float] | None = None
    mask: np.ndarray | None = None
    heat_map: np.ndarray | None = None
    flags: tuple[str, ...] = ()
    calibrated: bool = False
    error: str | None = None
    image: np.ndarray | None = None

    @property
    def confidence(self) -> float | None:
        """The highest probability, in [0, 1]; None where the slice could not be predicted."""
        return max(self.probabilities.values()) if self.probabilities else None

    def with_image(self, image: np.ndarray) -> Prediction:
        """Return the same prediction with its slice in grey, (H, W) in [0, 1]."""
        return replace(self, image=image)

    def drawn_on(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the mask and the heat map to draw on a slice in grey: in its size if it was shrunk.

        Args:
            image: (H, W), of a slice that was predicted.
        """
        assert self.mask is not None
        size = shrunk_size(*self.mask.shape)
        if image.shape != size or size == self.mask.shape:
            return self.mask, self.heat_map
        return nearest(self.mask, size), None if self.heat_map is None else nearest(self.heat_map, size)

    def save_overlay(self, path: str | PathLike[str]) -> None:
        """Write a PNG: the slice, the mask's outline, the heat map if there is one, and the probabilities.

        Args:
            path: the PNG file; missing folders are made.

        Raises:
            InputError: the slice could not be predicted.
            ValueError: the slice itself was not kept.
        """
        if self.mask is None or self.label is None:
            raise InputError(self.source, f"has no prediction to draw ({self.error})", "Leave it out")
        if self.image is None:
            raise ValueError(f"the slice of {self.source} was not kept: add it by with_image.")
        mask, heat_map = self.drawn_on(self.image)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        draw_overlay(
            self.image,
            mask,
            path,
            title=f"{self.source}: {display_name(self.label)}",
            probabilities=self.probabilities,
            note="; ".join(self.flags) or None,
            heat_map=heat_map,
            probabilities_title="" if self.calibrated else NOT_CALIBRATED,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain values that JSON can hold; of the arrays, the size and the mask's area."""
        return {
            "source": self.source,
            "label": self.label,
            "class_index": self.class_index,
            "probabilities": self.probabilities,
            "calibrated": self.calibrated,
            "flags": list(self.flags),
            "error": self.error,
            "size": None if self.mask is None else list(self.mask.shape),
            "area_px": None if self.mask is None else int(self.mask.sum()),
        }
