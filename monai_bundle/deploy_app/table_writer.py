"""One table of all predictions, for programs."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment

from braintumor_ext.classes import display_name
from braintumor_ext.errors import InputErrors
from braintumor_ext.files import write_text
from monai_bundle.deploy_app.predicted_series import PredictedSeries
from monai_bundle.deploy_app.series_writers import SeriesWriterOperator

logger = logging.getLogger(__name__)

TABLE = "predictions.json"


class TableWriterOperator(SeriesWriterOperator):
    """Write ``predictions.json``, the last file of a run: where it stands, all others do.

    Args:
        folder: the folder of the DICOM files, which the table tells their paths from.
    """

    def __init__(self, fragment: Fragment, *args: Any, output: Path, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(fragment, *args, output=output, **kwargs)

    def write_all(self, found: list[PredictedSeries]) -> None:
        """Write the table, and log a line for each series.

        Raises:
            InputErrors: no slice of a series could be predicted.
        """
        content = {"model": asdict(found[0].model), "series": [self._series(series) for series in found]}
        write_text(self.output / TABLE, json.dumps(content, indent=2) + "\n")
        for series in found:
            prediction = series.prediction
            label = "no prediction" if prediction.label is None else display_name(prediction.label)
            counts = prediction.tumour_slices, prediction.slices + prediction.failed
            logger.info("Series %s: %s (%d of %d slices show a tumour).", series.uid, label, *counts)
            for slice_prediction in series.predictions:
                if slice_prediction.error is not None:
                    logger.warning("%s: %s", slice_prediction.source, slice_prediction.error)
        logger.info("Written to %s.", self.output)
        if failed := [f"series {series.uid}: no slice has a prediction" for series in found if not series.is_predicted]:
            raise InputErrors(str(self.folder), failed)

    def _series(self, series: PredictedSeries) -> dict[str, Any]:
        first = series.sources[0]
        return {
            "series_instance_uid": series.uid,
            "study_instance_uid": str(first.StudyInstanceUID),
            "series_number": None if first.get("SeriesNumber") is None else int(first.SeriesNumber),
            "series_description": str(first.get("SeriesDescription", "")),
            "prediction": series.prediction.to_dict(),
            "segmentation": self._path(series.written.get("segmentation")),
            "report": self._path(series.written.get("report")),
            "slices": [self._slice(series, index) for index in range(len(series.predictions))],
        }

    def _slice(self, series: PredictedSeries, index: int) -> dict[str, Any]:
        source, prediction = series.sources[index], series.predictions[index]
        told = prediction.to_dict()
        pixel = float(source.PixelSpacing[0]) * float(source.PixelSpacing[1])
        return {
            "slice": index,
            "file": Path(told.pop("source")).relative_to(self.folder).as_posix(),
            "sop_instance_uid": str(source.SOPInstanceUID),
            **told,
            "area_mm2": None if prediction.mask is None else round(float(prediction.mask.sum()) * pixel, 3),
            "overlay": self._path(series.overlays.get(index)),
        }

    def _path(self, path: Path | None) -> str | None:
        return None if path is None else path.relative_to(self.output).as_posix()
