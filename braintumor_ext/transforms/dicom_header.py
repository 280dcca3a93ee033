"""What a DICOM header tells of a frame: in the frame's own groups, in those that all frames share, or by itself."""

from __future__ import annotations

import numpy as np
import pydicom

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"

_NUMBERS = {
    "ImagePositionPatient": ("PlanePositionSequence", 3),
    "ImageOrientationPatient": ("PlaneOrientationSequence", 6),
    "PixelSpacing": ("PixelMeasuresSequence", 2),
    "SpacingBetweenSlices": ("PixelMeasuresSequence", 1),
    "SliceThickness": ("PixelMeasuresSequence", 1),
    "RescaleSlope": ("PixelValueTransformationSequence", 1),
    "RescaleIntercept": ("PixelValueTransformationSequence", 1),
}
"""The sequence in a group that holds an attribute, and how many numbers it is of."""


def frame_count(header: pydicom.Dataset) -> int:
    """Return the number of frames of an image."""
    return int(header.get("NumberOfFrames", 1) or 1)


def frame_numbers(header: pydicom.Dataset, keyword: str, frame: int = 0) -> np.ndarray | None:
    """Return an attribute of a frame, ``PixelSpacing`` say, (1,) to (6,); None where it is not told or not finite."""
    sequence, count = _NUMBERS[keyword]
    own = (header.get(PER_FRAME) or ())[frame : frame + 1]
    for group in (*own, *(header.get(SHARED) or ())[:1], header):
        for holder in (*(group.get(sequence) or ())[:1], group):
            value = holder.get(keyword)
            if value not in (None, ""):
                numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
                if numbers.shape == (count,) and np.isfinite(numbers).all():
                    return numbers
    return None
