"""Pictures of predictions."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from braintumor_ext.classes import display_name
from braintumor_ext.errors import InputError
from braintumor_ext.png_file import write_png
from braintumor_ext.prediction import NOT_CALIBRATED, Prediction
from braintumor_ext.transforms.shrink import nearest, shrunk_size
from braintumor_ext.visualize.overlay import render_overlay, render_thumbnail


def save_overlay(prediction: Prediction, path: str | PathLike[str]) -> None:
    """Write a PNG: the slice, the mask's outline, the heat map if there is one, and the probabilities.

    Args:
        path: the PNG file; missing folders are made.

    Raises:
        InputError: the slice could not be predicted.
        ValueError: the slice itself was not kept.
    """
    image, mask, heat_map = _layers(prediction)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture = render_overlay(
        image,
        mask,
        title=f"{prediction.source}: {display_name(str(prediction.label))}",
        probabilities=prediction.probabilities,
        note="; ".join(prediction.flags) or None,
        heat_map=heat_map,
        probabilities_title="" if prediction.calibrated else NOT_CALIBRATED,
    )
    write_png(path, picture)


def predicted_thumbnail(prediction: Prediction) -> bytes:
    """Return the small picture of :func:`~braintumor_ext.visualize.render_thumbnail`, the bytes of a JPEG file."""
    return render_thumbnail(*_layers(prediction))


def _layers(prediction: Prediction) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return slice, mask and heat map in one size: that of the slice, which was shrunk if it is very large."""
    image, mask, heat_map = prediction.image, prediction.mask, prediction.heat_map
    if mask is None:
        raise InputError(prediction.source, f"has no prediction to draw ({prediction.error})", "Leave it out")
    if image is None:
        raise ValueError(f"the slice of {prediction.source} was not kept: give the prediction its image.")
    size = shrunk_size(*mask.shape)
    if image.shape != size or size == mask.shape:
        return image, mask, heat_map
    return image, nearest(mask, size), None if heat_map is None else nearest(heat_map, size)
