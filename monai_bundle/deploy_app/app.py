"""The application: which operators there are and what goes from one to the next."""

from __future__ import annotations

from pathlib import Path

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application

from monai_bundle.deploy_app.bundle_inference import PREDICTIONS, SERIES, SlicesBundleOperator
from monai_bundle.deploy_app.dicom_folder import DicomFolderOperator
from monai_bundle.deploy_app.series_selection import MrSeriesSelectorOperator
from monai_bundle.deploy_app.series_to_volumes import SeriesToVolumesOperator
from monai_bundle.deploy_app.series_writers import (
    INPUT,
    OUTPUT,
    OverlayWriterOperator,
    ReportWriterOperator,
    SegmentationWriterOperator,
)
from monai_bundle.deploy_app.table_writer import TableWriterOperator


class BrainTumorApp(Application):
    """DICOM in, DICOM out: a segmentation and a report of each MR series, overlays, and one table."""

    def __init__(self, folder: Path, output: Path, bundle: Path, wanted: str | None = None) -> None:
        self.folder, self.output, self.bundle, self.wanted = folder, output, bundle, wanted
        super().__init__()

    def compose(self) -> None:
        """Make the operators and connect them; all series pass along the line together."""
        context = AppContext({"input": str(self.folder), "output": str(self.output), "model": str(self.bundle)})
        context.models = None  # it takes any folder for a loaded network; the bundle operator loads the bundle's own
        # Without the condition the loader would load the folder again and again.
        loader = DicomFolderOperator(self, CountCondition(self, 1), input_folder=self.folder, name="loader")
        selector = MrSeriesSelectorOperator(self, folder=str(self.folder), wanted=self.wanted, name="selector")
        volumes = SeriesToVolumesOperator(self, name="volumes")
        inference = SlicesBundleOperator(self, bundle=self.bundle, app_context=context, name="inference")
        segmentation = SegmentationWriterOperator(self, output=self.output, name="segmentation")
        report = ReportWriterOperator(self, output=self.output, name="report")
        overlays = OverlayWriterOperator(self, output=self.output, name="overlays")
        table = TableWriterOperator(self, output=self.output, folder=self.folder, name="table")
        self.add_flow(loader, selector, {(loader.output_name, selector.input_name_study_list)})
        self.add_flow(selector, volumes, {(selector.output_name_selected_series, volumes.input_name_series)})
        self.add_flow(volumes, inference, {(volumes.output_name_image, SERIES)})
        self.add_flow(inference, segmentation, {(PREDICTIONS, INPUT)})
        self.add_flow(segmentation, report, {(OUTPUT, INPUT)})
        self.add_flow(report, overlays, {(OUTPUT, INPUT)})
        self.add_flow(overlays, table, {(OUTPUT, INPUT)})
