"""What a model says of the slices of an external set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from braintumor_ext import Predictor
from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.metrics import SliceRecord
from braintumor_ext.prediction import Prediction
from braintumor_ext.transforms import read_mask, read_slice
from studies.external_set.slices import ExternalSlice


@dataclass
class SequencePredictions:
    """The predictions about one sequence.

    Args:
        records: one for each slice that could be predicted; ``group`` is the patient.
        blank: the slices of a single value, which have no prediction.
        failed: slice to what was wrong with it or its mask.
    """

    records: list[SliceRecord] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def predict_sequence(predictor: Predictor, slices: Sequence[ExternalSlice], title: str = "") -> SequencePredictions:
    """Predict slices, with the predictor's own precision, and compare the masks with the true ones.

    Args:
        predictor: of the checkpoint in question.
        slices: of one sequence.
        title: of the progress bar.
    """
    predictions = SequencePredictions()
    with tqdm(total=len(slices), desc=title, unit="slice") as bar:
        for start in range(0, len(slices), predictor.batch_size):
            batch = slices[start : start + predictor.batch_size]
            for item, prediction in zip(batch, predictor([item.path for item in batch]), strict=True):
                _keep(predictions, predictor, item, prediction)
            bar.update(len(batch))
    return predictions


def true_mask(item: ExternalSlice, classes: Classes, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return a slice's true mask, (H, W) bool: empty in the class without tumour; None where it is unknown.

    Raises:
        InputError: the mask cannot be read, or has another size than its slice.
    """
    if item.class_name == classes.empty:
        return np.zeros(shape, dtype=bool)
    if item.mask is None:
        return None
    return read_mask(item.mask, shape=shape)


def _keep(predictions: SequencePredictions, predictor: Predictor, item: ExternalSlice, prediction: Prediction) -> None:
    if prediction.mask is None or prediction.probabilities is None:
        if _is_blank(item):
            predictions.blank.append(item.name)
        else:
            predictions.failed[item.name] = str(prediction.error).replace(str(item.path), item.name)
        return
    try:
        true = true_mask(item, predictor.classes, prediction.mask.shape)
    except InputError as error:
        predictions.failed[item.name] = f"its mask {error.problem}. {error.remedy}."
        return
    true_class = predictor.classes.index(item.class_name)
    predictions.records.append(SliceRecord.of(prediction, item.name, item.patient, true_class, true))


def _is_blank(item: ExternalSlice) -> bool:
    try:
        pixels = read_slice(item.path).numpy()
    except InputError:
        return False
    return bool((pixels == pixels.flat[0]).all())
