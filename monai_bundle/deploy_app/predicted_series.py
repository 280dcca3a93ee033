"""What is known of a series once its slices are predicted, and what was written of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from highdicom.seg import Segmentation

from braintumor_ext.classes import Classes
from braintumor_ext.dicom_output import Algorithm
from braintumor_ext.prediction import Prediction
from braintumor_ext.series_prediction import SeriesPrediction, series_prediction


@dataclass(frozen=True)
class ModelIdentity:
    """Which model predicted."""

    algorithm: Algorithm  # its name, version and checkpoint, as DICOM objects tell them
    classes: Classes
    calibration: str | None  # what made the probabilities cautious; None where nothing did
    explained_by: str


@dataclass
class PredictedSeries:
    """The slices of a series, sorted along their normal, and the prediction about each."""

    sources: tuple[pydicom.Dataset, ...]
    predictions: tuple[Prediction, ...]
    model: ModelIdentity
    segmentation: Segmentation | None = None  # the DICOM segmentation, once made
    written: dict[str, Path] = field(default_factory=dict)  # what was written of the series, by its kind
    # the pictures that were written, by the slice's place in the series
    overlays: dict[int, Path] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        """The Series Instance UID."""
        return str(self.sources[0].SeriesInstanceUID)

    @property
    def prediction(self) -> SeriesPrediction:
        """The prediction about the series as a whole."""
        return series_prediction(self.predictions, self.model.classes)

    @property
    def is_predicted(self) -> bool:
        """Whether any slice has a prediction."""
        return any(prediction.error is None for prediction in self.predictions)

    @property
    def masks(self) -> np.ndarray:
        """(N, rows, columns) bool, as the images are stored; empty where there is no prediction."""
        shape = (int(self.sources[0].Rows), int(self.sources[0].Columns))
        return np.stack([np.zeros(shape, dtype=bool) if a.mask is None else a.mask for a in self.predictions])
