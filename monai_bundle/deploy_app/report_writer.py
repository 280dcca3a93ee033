"""Classes and probabilities of a series and its slices as a DICOM structured report."""

from __future__ import annotations

from pathlib import Path

from braintumor_ext.dicom_output import answer_report, write_dicom
from monai_bundle.deploy_app.answered_series import AnsweredSeries
from monai_bundle.deploy_app.series_writer import SeriesWriterOperator


class ReportWriterOperator(SeriesWriterOperator):
    """Write ``report.dcm``, which refers to the images and the segmentation."""

    def write(self, series: AnsweredSeries, folder: Path) -> None:
        """Make the report and write it."""
        report = answer_report(
            series.sources,
            series.answers,
            algorithm=series.model.algorithm,
            empty_class=series.model.empty_class,
            segmentation=series.segmentation,
        )
        series.written["report"] = folder / "report.dcm"
        write_dicom(report, series.written["report"])
