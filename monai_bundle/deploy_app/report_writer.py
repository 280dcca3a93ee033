"""Classes and probabilities of a series and its slices as a DICOM structured report."""

from __future__ import annotations

from pathlib import Path

from braintumor_ext.dicom_output import prediction_report, write_dicom
from monai_bundle.deploy_app.predicted_series import PredictedSeries
from monai_bundle.deploy_app.series_writer import SeriesWriterOperator


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
