"""Which files of a folder are DICOM, and whether they are whole: told before anything else is done."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pydicom
from monai.deploy.core.domain.dicom_study import DICOMStudy
from monai.deploy.operators import DICOMDataLoaderOperator
from pydicom.uid import MediaStorageDirectoryStorage, MRImageStorage

from braintumor_ext.dicom_output.sources import source_header
from braintumor_ext.errors import InputError, InputErrors
from braintumor_ext.transforms.dicom_file import dicom_grid
from braintumor_ext.transforms.formats import DICOM, DICOM_SUFFIXES, container_of, has_suffix

logger = logging.getLogger(__name__)

MODALITY, SOP_CLASS = "MR", MRImageStorage
IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_AGAIN = "Copy it again from its source, or leave it out"


class DicomFolderOperator(DICOMDataLoaderOperator):
    """Load the studies of a folder, in the order of its sorted paths.

    The SDK's loader passes over what it cannot read. Here a file that is no DICOM is told and passed over, and a broken
    DICOM file is an error: a series that lacks a slice would look like a whole one.
    """

    def load_data_to_studies(self, input_path: Path) -> list[DICOMStudy]:
        """Return the studies in a folder.

        Raises:
            InputError: there is no DICOM file.
            InputErrors: some DICOM files are broken; each is named.
        """
        images: Counter[str] = Counter()
        files: list[str] = []
        problems: list[str] = []
        for path in sorted(path for path in Path(input_path).rglob("*") if path.is_file()):
            try:
                header = _header(path)
                if header is None:
                    continue
                files.append(str(path))
                if is_mr_image(header):
                    images[str(header.SeriesInstanceUID)] += 1
            except InputError as error:
                problems.append(str(error))
        if problems:
            raise InputErrors(str(input_path), problems)
        if not files:
            raise InputError(input_path, "has no DICOM file in it", "Give a folder with a DICOM series")
        studies: list[DICOMStudy] = self._load_data(files)
        _tell_dropped(studies, images)
        return studies


def is_mr_image(header: pydicom.Dataset) -> bool:
    """Return whether a header is of an MR image of one frame (SOP class MR Image Storage)."""
    return header.get("Modality") == MODALITY and header.get("SOPClassUID") == SOP_CLASS


def _header(path: Path) -> pydicom.Dataset | None:
    """Return a DICOM file's header, an InputError of a broken one; None, and tell, if it is no DICOM file."""
    try:
        if container_of(path) != DICOM:
            logger.warning("%s is no DICOM file: passed over.", path)
            return None
    except InputError as error:
        if has_suffix(path, DICOM_SUFFIXES):
            raise
        logger.warning("%s is no DICOM file (%s): passed over.", path, error.problem)
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return None  # a DICOMDIR: the files that it lists are found without it
        missing = [name for name in IDENTITY if not header.get(name)]
    except Exception as error:  # pydicom raises what it likes on broken headers
        raise InputError(path, f"is no DICOM file, or has a damaged header ({error})", _AGAIN) from error
    if missing:
        raise InputError(path, f"is a broken DICOM file (it lacks {', '.join(missing)})", _AGAIN)
    if is_mr_image(header):
        _check_image(path, header)
    return header


def _check_image(path: Path, header: pydicom.Dataset) -> None:
    """Raise an input error unless an MR image can be read and a segmentation can refer to it."""
    grid = dicom_grid(path)
    if grid.slice_count > 1:
        raise InputError(path, f"is an MR image of {grid.slice_count} frames", "Export it as one file for each slice")
    try:
        source_header(header)
    except InputError as error:
        raise InputError(path, error.problem, _AGAIN) from error


def _tell_dropped(studies: list[DICOMStudy], images: Counter[str]) -> None:
    """Warn where the SDK keeps one image of several at one place: echoes, time points, b-values of one series."""
    for study in studies:
        for series in study.get_all_series():
            uid = series.get_series_instance_uid()
            dropped = images[uid] - len(series.get_sop_instances())
            if dropped > 0:
                text = "Series %s: %d of %d images share their position with another and are left out."
                logger.warning(text, uid, dropped, images[uid])
