"""From a DICOM series to a volume that holds the numbers which the bundle's own reader gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.deploy.core.domain.dicom_series import DICOMSeries
from monai.deploy.core.domain.dicom_series_selection import SelectedSeries, StudySelectedSeries
from monai.deploy.core.domain.dicom_sop_instance import DICOMSOPInstance
from monai.deploy.operators import DICOMSeriesToVolumeOperator

from braintumor_ext.transforms import read_slice
from braintumor_ext.transforms.dicom_file import dicom_grid
from braintumor_ext.transforms.intensity import grey_channel

SLICES = "slices"
"""In a volume's metadata: those of each of its slices (see `braintumor_ext.transforms.SliceGrid.metadata`)."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class SeriesToVolumesOperator(DICOMSeriesToVolumeOperator):
    """Convert each selected series to an image; the slices are sorted along their normal.

    Of the SDK's operator three things are replaced. It takes the first series alone. Its affine exchanges the spacings
    of rows and columns, and needs two slices. It stores a volume in the type of its first slice, which cuts the values
    of others: here the bundle's own reader gives them, rescaled, MONOCHROME1 inverted, in float32.
    """

    def convert_to_image(self, study_selected_series_list: list[StudySelectedSeries]) -> list[SelectedSeries]:
        """Return the selected series of all studies, each with its ``image``, (slices, rows, columns) float32."""
        converted = []
        for chosen in study_selected_series_list:
            for series in chosen.selected_series:
                alone = StudySelectedSeries(chosen.study)
                alone.add_selected_series(series)
                super().convert_to_image([alone])
                converted.append(series)
        return converted

    def prepare_series(self, series: DICOMSeries) -> None:
        """Sort the slices and set the series' affines, those of a single slice too."""
        super().prepare_series(series)
        slices = series.get_sop_instances()
        self.compute_affine_transform(slices[0], slices[-1], len(slices), series)

    def compute_affine_transform(
        self, s_1: DICOMSOPInstance, s_n: DICOMSOPInstance, n: int, series: DICOMSeries
    ) -> None:
        """Set what takes (column, row, slice, 1) to mm, in RAS and in LPS."""
        affine = dicom_grid(path_of(s_1)).native_affine.copy()
        if n > 1:
            affine[:3, 2] = (dicom_grid(path_of(s_n)).native_affine[:3, 3] - affine[:3, 3]) / (n - 1)
        series.nifti_affine_transform = affine
        series.dicom_affine_transform = _LPS_TO_RAS @ affine

    def generate_voxel_data(self, series: DICOMSeries) -> np.ndarray:
        """Return the slices' values in grey, (slices, rows, columns) float32, as the bundle's reader gives them."""
        planes = []
        for instance in series.get_sop_instances():
            values = read_slice(path_of(instance))
            planes.append(grey_channel(values.as_subclass(torch.Tensor), int(values.meta["bits"]))[0].numpy())
        return np.stack(planes)

    def create_metadata(self, series: DICOMSeries) -> dict[str, Any]:
        """Return the SDK's metadata of a series, and those of each slice under ``slices``."""
        paths = [path_of(instance) for instance in series.get_sop_instances()]
        return {**super().create_metadata(series), SLICES: [dicom_grid(path).metadata(path, 0) for path in paths]}


def path_of(instance: DICOMSOPInstance) -> Path:
    """Return the file that an instance was loaded from."""
    return Path(instance.get_native_sop_instance().filename)
