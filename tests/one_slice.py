"""One slice in the forms that the bundle's consumers are given, with the same picture in each."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from pydicom.uid import UID, generate_uid

from tests.inference.bright_square_model import square_slice
from tests.transforms.files import write_dicom

HEIGHT, WIDTH = 88, 72
"""Unlike, so that a transposition shows."""

ROW_MM, COLUMN_MM = 0.9, 0.6


def shown_slice() -> np.ndarray:
    """The slice as a person sees it, (H, W) uint8: a bright square at the right of the upper half.

    More than one pixel in a hundred is black and as many are white: scaled from the 0.5th to the 99.5th percentile it
    is what it was, so that all forms hold the same picture.
    """
    grey, _ = square_slice(HEIGHT, WIDTH, top=0.15, left=0.6, side=0.25, seed=3)
    values = np.round(grey / grey.max() * 255)
    values[:3] = 0
    return values.astype(np.uint8)


def write_forms(folder: Path) -> dict[str, Path]:
    """Write the slice as ``png``, ``nifti`` (2D), ``nifti_one_slice`` (W, H, 1) and ``dicom``; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = shown_slice()
    paths = {
        "png": folder / "slice.png",
        "nifti": folder / "slice_2d.nii.gz",
        "nifti_one_slice": folder / "slice_3d.nii.gz",
        "dicom": folder / "slice.dcm",
    }
    Image.fromarray(shown).save(paths["png"])
    # In RAS, indices grow to the right, to the front: radiological display has neither at its origin.
    stored = shown.T[::-1, ::-1].astype(np.float32)
    affine = np.diag([COLUMN_MM, ROW_MM, 5.0, 1.0])
    affine[:3, 3] = -20, -30, 12
    nibabel.Nifti1Image(stored, affine).to_filename(paths["nifti"])
    nibabel.Nifti1Image(stored[:, :, None], affine).to_filename(paths["nifti_one_slice"])
    write_series(folder, [shown], names=[paths["dicom"].name])
    return paths


def write_series(
    folder: Path, slices: list[np.ndarray], names: list[str] | None = None, number: int = 1, **tags: object
) -> list[Path]:
    """Write slices (H, W) as one MR series, signed 16 bit with a rescale; tags go before the defaults."""
    study, series, frame = (
        UID(generate_uid(entropy_srcs=[word, str(number)])) for word in ("study", "series", "frame")
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, shown in enumerate(slices):
        defaults = {
            "PatientName": "Test^Head",
            "PatientID": "head-1",
            "PatientBirthDate": "",
            "PatientSex": "O",
            "StudyInstanceUID": study,
            "StudyID": "1",
            "StudyDate": "20260101",
            "StudyTime": "120000",
            "AccessionNumber": "",
            "ReferringPhysicianName": "",
            "SeriesInstanceUID": series,
            "SeriesNumber": number,
            "SeriesDescription": f"T1 contrast {number}",
            "FrameOfReferenceUID": frame,
            "PositionReferenceIndicator": "",
            "Manufacturer": "tests",
            "InstanceNumber": index + 1,
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "PixelSpacing": [ROW_MM, COLUMN_MM],
            "SliceThickness": 5.0,
            "SpacingBetweenSlices": 5.5,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [-20.0, -30.0, 12.0 + 5.5 * index],
            "RescaleSlope": 0.5,
            "RescaleIntercept": -10.0,
        }
        stored = (shown.astype(np.int16) + 10) * 2
        path = folder / (names[index] if names else f"slice{index:02d}.dcm")
        paths.append(write_dicom(path, stored, **{**defaults, **tags}))
    return paths
