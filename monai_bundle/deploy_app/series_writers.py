"""What is written of each series: segmentation, report and pictures, by operators that pass the series on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.deploy.core import ConditionType, Fragment, Operator, OperatorSpec

from braintumor_ext.dicom_output import prediction_report, tumour_segmentation, write_dicom
from braintumor_ext.visualize import save_overlay
from monai_bundle.deploy_app.predicted_series import PredictedSeries

INPUT, OUTPUT = "series", "written"  # a writer's ports; both carry a list of predicted series


class SeriesWriterOperator(Operator):
    """Write something of every series.

    Args:
        output: where to write; each series has a folder in it, named by its Series Instance UID.
    """

    def __init__(self, fragment: Fragment, *args: Any, output: Path, **kwargs: Any) -> None:
        self.output = output
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        spec.input(INPUT)
        spec.output(OUTPUT).condition(ConditionType.NONE)  # nobody may be listening

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Write all series, then pass them on."""
        found: list[PredictedSeries] = op_input.receive(INPUT)
        self.write_all(found)
        op_output.emit(found, OUTPUT)

    def write_all(self, found: list[PredictedSeries]) -> None:
        """Write every series that has a prediction."""
        for series in found:
            if series.is_predicted:
                self.write(series, self.output / series.uid)

    def write(self, series: PredictedSeries, folder: Path) -> None:
        """Write one series.

        Args:
            series: what to write; what was written is noted in its ``written``.
        """
        raise NotImplementedError


class SegmentationWriterOperator(SeriesWriterOperator):
    """Write ``segmentation.dcm``: one segment, a frame for each slice."""

    def write(self, series: PredictedSeries, folder: Path) -> None:
        """Make the segmentation, which the report refers to, and write it."""
        series.segmentation = tumour_segmentation(series.sources, series.masks, algorithm=series.model.algorithm)
        series.written["segmentation"] = folder / "segmentation.dcm"
        write_dicom(series.segmentation, series.written["segmentation"])


class ReportWriterOperator(SeriesWriterOperator):
    """Write ``report.dcm``, which refers to the images and the segmentation."""

    def write(self, series: PredictedSeries, folder: Path) -> None:
        """Make the report and write it."""
        report = prediction_report(
            series.sources,
            series.predictions,
            algorithm=series.model.algorithm,
            classes=series.model.classes,
            segmentation=series.segmentation,
        )
        series.written["report"] = folder / "report.dcm"
        write_dicom(report, series.written["report"])


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
