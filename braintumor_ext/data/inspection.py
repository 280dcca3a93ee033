"""One look at every file: is it usable, what is it like, does its mask fit. Each image is decoded once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.file_properties import FileProperties, file_properties
from braintumor_ext.data.folder_scan import FoundSlice
from braintumor_ext.data.in_threads import map_in_threads
from braintumor_ext.data.suspicions import mask_signs, suspicions
from braintumor_ext.data.thumbnails import framed_picture, thumbnail
from braintumor_ext.errors import InputError, unreadable
from braintumor_ext.files import sha256_of
from braintumor_ext.transforms import ToBinaryMask, ToUnitGrey, read_slice

logger = logging.getLogger(__name__)


@dataclass
class InspectedSlice:
    """A usable slice."""

    found: FoundSlice  # where it is and what its folder says
    properties: FileProperties
    sha256: str  # of the file
    thumbnail: np.ndarray
    framed: np.ndarray  # the framed picture, by which copies are found
    mask: Path | None = None  # its tumour mask, if there is one and it fits
    mask_area: int | None = None  # tumour pixels
    mask_signs: list[str] = field(default_factory=list)  # what speaks against the mask
    suspicions: list[str] = field(default_factory=list)  # what speaks against its being a grey MRI
    group: str = ""  # group and section of the split once they are known
    section: str = ""

    @property
    def key(self) -> str:
        """The slice's unique name."""
        return self.found.key

    @property
    def class_name(self) -> str:
        """The slice's class."""
        return self.found.class_name


def inspect_slices(
    slices: Sequence[FoundSlice], classes: Classes = CLASSES
) -> tuple[list[InspectedSlice], list[InputError]]:
    """Inspect files, in their order.

    Return the usable slices, and what had to be left out: unusable images, and masks that do not fit theirs or mark a
    tumour in a slice of the empty class.
    """
    looked_at = map_in_threads(lambda found: _inspect(found, classes), slices, "reading slices")
    usable = [inspected for inspected, _ in looked_at if inspected is not None]
    return usable, [problem for _, problem in looked_at if problem is not None]


def _inspect(found: FoundSlice, classes: Classes) -> tuple[InspectedSlice | None, InputError | None]:
    slice_ = None
    try:
        slice_ = _usable(found)
        if found.mask is not None:
            stored = read_slice(found.mask, labels=True)
            mask = ToBinaryMask()(stored).numpy()[0]
            area = _checked_area(mask, found.mask, slice_, classes)
            slice_.mask_signs = mask_signs(stored.numpy(), mask)
            slice_.mask, slice_.mask_area = found.mask, area
    except InputError as problem:
        return slice_, problem
    except Exception as problem:  # whatever it is, it costs one file
        path = found.path if slice_ is None or found.mask is None else found.mask
        logger.debug("%s could not be read.", path, exc_info=problem)
        return slice_, unreadable(path, problem)
    return slice_, None


def _usable(found: FoundSlice) -> InspectedSlice:
    properties = file_properties(found.path)
    if properties.slice_count > 1:
        problem = f"holds {properties.slice_count} slices where one slice is expected"
        remedy = "Save the slices to learn from as files of their own (inference takes a volume by --slices all, "
        raise InputError(found.path, problem, remedy + "--slices middle or --slices N)")
    raw = read_slice(found.path, shrink=True)
    grey = ToUnitGrey()(raw).numpy()[0]
    return InspectedSlice(
        found,
        properties,
        sha256_of(found.path),
        thumbnail(grey),
        framed_picture(grey),
        suspicions=suspicions(raw.numpy(), grey),
    )


def _checked_area(mask: np.ndarray, path: Path, slice_: InspectedSlice, classes: Classes) -> int:
    """Return the tumour pixels of a mask, (H, W) of 0 and 1, that fits its slice."""
    size = slice_.properties
    if mask.shape != (size.height, size.width):
        raise InputError(
            path,
            f"is {mask.shape[1]}x{mask.shape[0]}, but its image {slice_.found.source} is {size.width}x{size.height}",
            "Give the mask that belongs to the image; until then its mask counts as unknown",
        )
    area = int(mask.sum())
    if area > 0 and slice_.class_name == classes.empty:
        raise InputError(
            path,
            f"marks {area} tumour pixels in a slice of the class {classes.empty!r}",
            "Correct the class or the mask; until then the mask counts as empty",
        )
    return area
