"""Series of small MR slices with a bright square, written as scanners write them: oblique, anisotropic, rescaled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

from tests.inference.bright_square_model import square_slice

ROWS, COLUMNS = 90, 64
SPACING = (0.6, 1.1)
"""mm between rows, mm between columns."""

GAP, ORIGIN = 3.5, np.array([-41.25, -17.5, 23.75])
TURN = Rotation.from_euler("xyz", [20, -15, 35], degrees=True).as_matrix()
ALONG_ROW, ALONG_COLUMN, NORMAL = TURN.T
"""Of an oblique series: where columns, rows and slices run to, in LPS."""

PLACES = ((0.15, 0.6), (0.65, 0.12), (0.1, 0.1), (0.6, 0.65), (0.2, 0.55))
"""Top and left edge of each slice's square, as shares of its height and width."""


@dataclass(frozen=True)
class Slice:
    """One slice as it was written.

    Args:
        path: its file.
        uid: its SOP Instance UID.
        position: (3,) its ImagePositionPatient.
        square: (H, W) bool, the bright square in it.
    """

    path: Path
    uid: str
    position: np.ndarray
    square: np.ndarray


def write_series(folder: Path, count: int = 5, **tags: Any) -> list[Slice]:
    """Write ``count`` slices and return them in the order of their places.

    Neither file names nor instance numbers follow that order. Each slice has its own rescale slope and intercept: the
    values of the first are whole and positive, those of others are not.

    Args:
        folder: where to.
        count: how many slices, up to 5.
        tags: elements that differ from the defaults; None takes one away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), **tags}
    shared.setdefault("FrameOfReferenceUID", generate_uid())
    slices = []
    for index in range(count):
        top, left = PLACES[index]
        grey, square = square_slice(ROWS, COLUMNS, top, left, seed=index)
        header = _header(index, count)
        header.RescaleSlope, header.RescaleIntercept = [("1", "0"), ("0.37", "-150"), ("2.25", "-1024.5")][index % 3]
        for keyword, value in shared.items():
            if value is None:
                delattr(header, keyword)
            else:
                setattr(header, keyword, value)
        set_pixels(header, np.round(grey * 1900 + 20).astype(np.int16))
        path = folder / f"im{(index * 3 + 2) % 7}.dcm"
        header.save_as(path, enforce_file_format=True)
        slices.append(Slice(path, str(header.SOPInstanceUID), np.array(header.ImagePositionPatient, float), square))
    return slices


def write_slice(folder: Path, **tags: Any) -> Slice:
    """Write a series of one slice."""
    return write_series(folder, 1, **tags)[0]


def rewrite(path: Path, **tags: Any) -> None:
    """Change elements of a file."""
    header = pydicom.dcmread(path)
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.save_as(path)


def set_pixels(header: pydicom.Dataset, pixels: np.ndarray) -> None:
    """Give an image uncompressed pixels (H, W) of its own type."""
    bits = pixels.dtype.itemsize * 8
    header.Rows, header.Columns = pixels.shape
    header.BitsAllocated, header.BitsStored, header.HighBit = bits, bits, bits - 1
    header.PixelRepresentation = int(pixels.dtype.kind == "i")
    header.PixelData = pixels.tobytes()


def _header(index: int, count: int) -> pydicom.Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = pydicom.Dataset()
    header.file_meta = meta
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    header.Modality, header.SeriesNumber, header.SeriesDescription = "MR", 7, "t1_mprage Gd"
    header.PatientName, header.PatientID, header.PatientBirthDate, header.PatientSex = "Phantom^Ann", "P1", "", "O"
    header.StudyDate, header.StudyTime, header.StudyID, header.AccessionNumber = "20260102", "101112", "S1", "A1"
    header.ReferringPhysicianName = ""
    header.InstanceNumber = count - index
    header.ImagePositionPatient = [round(float(v), 6) for v in ORIGIN + index * GAP * NORMAL]
    header.ImageOrientationPatient = [round(float(v), 9) for v in (*ALONG_ROW, *ALONG_COLUMN)]
    header.PixelSpacing, header.SliceThickness = list(SPACING), 2.5
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    return header
