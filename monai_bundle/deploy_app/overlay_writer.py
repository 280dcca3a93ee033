"""Pictures of every slice: outline, heat map and probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from braintumor_ext.visualize import save_overlay
from monai_bundle.deploy_app.predicted_series import PredictedSeries
from monai_bundle.deploy_app.series_writer import SeriesWriterOperator


class OverlayWriterOperator(SeriesWriterOperator):
    """Write ``overlays/000_<name>.png``; the number is the slice's place in the series."""

    def write(self, series: PredictedSeries, folder: Path) -> None:
        """Draw each slice that has a prediction."""
        for index, prediction in enumerate(series.predictions):
            if prediction.error is not None:
                continue
            file = Path(prediction.source)
            path = folder / "overlays" / f"{index:03d}_{file.stem}.png"
            save_overlay(replace(prediction, source=file.name), path)
            series.overlays[index] = path
