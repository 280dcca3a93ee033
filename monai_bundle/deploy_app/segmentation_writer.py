"""The tumour of a series as a DICOM segmentation."""

from __future__ import annotations

from pathlib import Path

from braintumor_ext.dicom_output import tumour_segmentation, write_dicom
from monai_bundle.deploy_app.predicted_series import PredictedSeries
from monai_bundle.deploy_app.series_writer import SeriesWriterOperator


class SegmentationWriterOperator(SeriesWriterOperator):
    """Write ``segmentation.dcm``: one segment, a frame for each slice."""

    def write(self, series: PredictedSeries, folder: Path) -> None:
        """Make the segmentation, which the report refers to, and write it."""
        series.segmentation = tumour_segmentation(series.sources, series.masks, algorithm=series.model.algorithm)
        series.written["segmentation"] = folder / "segmentation.dcm"
        write_dicom(series.segmentation, series.written["segmentation"])
