"""What counts as an MR image."""

from __future__ import annotations

import pydicom
from pydicom.uid import MRImageStorage

MODALITY, SOP_CLASS = "MR", MRImageStorage


def is_mr_image(header: pydicom.Dataset) -> bool:
    """Return whether a header is of an MR image of one frame (SOP class MR Image Storage)."""
    return header.get("Modality") == MODALITY and header.get("SOPClassUID") == SOP_CLASS
