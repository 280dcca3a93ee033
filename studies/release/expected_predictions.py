"""Stored predictions about a few real slices, by which anyone can tell that a checkpoint runs as it was released."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.data.sampling import spread
from braintumor_ext.data.split import draw_by_name
from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing, replacing, sha256_of
from braintumor_ext.inference import Predictor
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics import score_mask
from braintumor_ext.prediction import Prediction
from braintumor_ext.transforms import read_mask
from studies.evaluated_slices import EvaluatedSlice

EXPECTED = "expected.json"
"""The file's name, beside its checkpoint."""

TOLERANCE = 1e-3
"""How much a probability may differ on another machine."""

_FOLDERS = ("", "Training", "Testing")


def choose_slices(slices: Sequence[EvaluatedSlice], per_class: int = 2) -> list[EvaluatedSlice]:
    """Return a few slices of each class, by their names only; no two of a group where there are others.

    Args:
        slices: what was evaluated.
        per_class: how many of each class.
    """
    chosen: list[EvaluatedSlice] = []
    for index in sorted({s.record.true_class for s in slices} - {UNKNOWN}):
        members = sorted((s for s in slices if s.record.true_class == index), key=lambda s: draw_by_name(0, s.source))
        order = spread(range(len(members)), [s.record.group or None for s in members])
        chosen += [members[position] for position in order[:per_class]]
    return chosen


def check_files(slices: Iterable[EvaluatedSlice]) -> None:
    """Make sure that slices are the source files themselves.

    Args:
        slices: whose predictions are to be stored.

    Raises:
        InputError: a file is gone, or is a compact copy: nobody else has it.
    """
    for slice_ in slices:
        if not slice_.path.is_file():
            raise InputError(slice_.path, "no such file", "Prepare the data set where the images are")
        if sha256_of(slice_.path) != slice_.sha256:
            remedy = "Prepare the same split without --size, and evaluate on that"
            raise InputError(slice_.path, "is not the file of the data set itself but a copy of it", remedy)


def stored_values(prediction: Prediction, mask: Path | None) -> dict[str, Any]:
    """Return what is stored of a prediction: class probabilities, the mask's area and, where it can be known, its Dice.

    Args:
        prediction: of one slice.
        mask: the file of the true mask; None if it is unknown.

    Raises:
        InputError: the slice could not be predicted.
    """
    if prediction.probabilities is None or prediction.mask is None:
        raise InputError(prediction.source, str(prediction.error).rstrip("."), "Choose another slice")
    dice = None
    if mask is not None:
        found = score_mask(prediction.mask, read_mask(mask)).dice
        dice = None if found != found else round(found, 6)
    return {
        "class": prediction.label,
        "probabilities": {name: round(share, 6) for name, share in prediction.probabilities.items()},
        "area_px": int(prediction.mask.sum()),
        "dice": dice,
    }


def write_expected(
    path: str | PathLike[str],
    predictor: Predictor,
    checkpoint: str | PathLike[str],
    slices: Sequence[EvaluatedSlice],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the predictions about some slices, and return them; an earlier file of other content is renamed.

    Args:
        path: ``expected.json``, beside its checkpoint.
        predictor: of the checkpoint, as a user has it.
        checkpoint: ``model.pt``.
        slices: of the data set itself.
        facts: what else is worth knowing (the data set, its split).

    Raises:
        InputError: a slice cannot be predicted.
    """
    found = predictor([slice_.path for slice_ in slices])
    calibration = predictor.postprocessor.calibration
    content = {
        "checkpoint": Path(checkpoint).name,
        "sha256": sha256_of(checkpoint),
        "image_size": predictor.postprocessor.image_size,
        "temperature": calibration.temperature if calibration is not None else None,
        "tolerance": TOLERANCE,
        **facts,
        "predictions": [
            {
                "image": slice_.source,
                "sha256": slice_.sha256,
                "true_class": predictor.classes[slice_.record.true_class],
                **stored_values(prediction, slice_.mask),
            }
            for slice_, prediction in zip(slices, found, strict=True)
        ],
    }
    text = json.dumps(content, indent=4, ensure_ascii=False) + "\n"
    target = Path(path)
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        with replacing(target) as partial:
            partial.write_text(text, encoding="utf-8")
            backup_existing(target)
    return content


def read_expected(path: str | PathLike[str]) -> dict[str, Any]:
    """Return what ``expected.json`` holds.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        _ = content["sha256"], [entry["probabilities"] for entry in content["predictions"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"holds no stored predictions ({type(error).__name__}: {error})"
        raise InputError(path, problem, "Give the expected.json of a released checkpoint") from error
    return dict(content)


def compare_predictions(
    expected: Mapping[str, Any], predictor: Predictor, images: str | PathLike[str]
) -> list[dict[str, Any]]:
    """Return how far a predictor's predictions are from the stored ones, slice by slice.

    Args:
        expected: what ``expected.json`` holds.
        predictor: of the same checkpoint.
        images: the data set's folder, which holds the class folders, or ``Training`` (and ``Testing``) that do.

    Returns:
        For each slice its ``image``, ``difference`` (the largest of a probability) and ``area_difference`` (in pixels).

    Raises:
        InputError: a slice is not there, or is another file than the one that was predicted.
    """
    paths = [_find(Path(images), entry["image"], entry["sha256"]) for entry in expected["predictions"]]
    rows = []
    for entry, prediction in zip(expected["predictions"], predictor(list(paths)), strict=True):
        given = stored_values(prediction, None)
        differences = [abs(given["probabilities"][name] - share) for name, share in entry["probabilities"].items()]
        rows.append(
            {
                "image": entry["image"],
                "difference": max(differences),
                "area_difference": abs(given["area_px"] - entry["area_px"]),
            }
        )
    return rows


def _find(images: Path, name: str, sha256: str) -> Path:
    places = [images / folder / name for folder in _FOLDERS]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(images, f"does not hold {name}", "Give the folder of the data set's images")
    if sha256_of(path) != sha256:
        raise InputError(path, "is another file than the one whose prediction is stored", "Fetch the data set again")
    return path
