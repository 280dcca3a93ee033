"""Slices of an evaluation as pictures, predicted anew by the checkpoint that was evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from PIL import Image

from braintumor_ext.classes import display_name
from braintumor_ext.errors import InputError
from braintumor_ext.files import sha256_of
from braintumor_ext.inference import Predictor
from braintumor_ext.transforms import read_mask
from braintumor_ext.visualize import render_overlay
from studies.evaluated_slices import EvaluatedSlice
from studies.release import checkpoint_of

ROOT = Path(__file__).resolve().parents[1]


def evaluated_predictor(checkpoint_dir: str | PathLike[str], sha256: str | None, device: str | None) -> Predictor:
    """Return a predictor of the evaluated checkpoint, in full precision.

    Args:
        checkpoint_dir: folder of ``model.pt``, ``training.json`` and ``calibration.json``.
        sha256: of the evaluated checkpoint, as the evaluation's context tells it.
        device: where it runs; None for a GPU if there is one.

    Raises:
        InputError: the checkpoint is another.
    """
    checkpoint = checkpoint_of(checkpoint_dir)
    if sha256_of(checkpoint) != sha256:
        remedy = "Give --checkpoint_dir the folder of the evaluated one"
        raise InputError(checkpoint, "is another checkpoint than the one that was evaluated", remedy)
    return Predictor.from_bundle(ROOT, checkpoint, device, amp=False)


def draw_slices(
    predictor: Predictor, slices: Sequence[EvaluatedSlice], explain: str | None = None
) -> list[Image.Image]:
    """Draw slices with both outlines, the class probabilities and perhaps a heat map.

    Args:
        predictor: of :func:`evaluated_predictor`.
        slices: what to draw.
        explain: the heat map's method, as the predictor takes it; None for none.

    Returns:
        A picture for each slice that can still be read.
    """
    pictures = []
    for slice_, prediction in zip(slices, predictor([s.path for s in slices], explain=explain), strict=True):
        if prediction.image is None or prediction.mask is None:
            continue
        true = None if slice_.mask is None else read_mask(slice_.mask)
        note = f"true class: {display_name(predictor.classes[slice_.record.true_class])}"
        shown = render_overlay(
            prediction.image,
            prediction.mask,
            slice_.source,
            prediction.probabilities,
            true_mask=true,
            note=note,
            heat_map=prediction.heat_map,
        )
        pictures.append(Image.fromarray(shown))
    return pictures
