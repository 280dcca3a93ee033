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
    try:
        properties = file_properties(found.path)
        if properties.slice_count > 1:
            raise InputError(
                found.path,
                f"holds {properties.slice_count} slices where one slice is expected",
                "Save the slices to learn from as files of their own (inference takes a volume by --slices all, "
                "--slices middle or --slices N)",
            )
        raw = read_slice(found.path, shrink=True)
        grey = ToUnitGrey()(raw).numpy()[0]
        signs = suspicions(raw.numpy(), grey)
        slice_ = InspectedSlice(
            found, properties, sha256_of(found.path), thumbnail(grey), framed_picture(grey), suspicions=signs
        )
    except InputError as problem:
        return None, problem
    except Exception as problem:  # whatever it is, it costs one file
        return None, _unexpected(found.path, problem)
    if found.mask is None:
        return slice_, None
    try:
        stored = read_slice(found.mask, labels=True)
        mask = ToBinaryMask()(stored).numpy()[0]
        slice_.mask_area = _checked_area(mask, found.mask, slice_, classes)
        slice_.mask_signs = mask_signs(stored.numpy(), mask)
    except InputError as problem:
        return slice_, problem
    except Exception as problem:
        return slice_, _unexpected(found.mask, problem)
    slice_.mask = found.mask
    return slice_, None


def _unexpected(path: Path, problem: Exception) -> InputError:
    logger.debug("%s could not be read.", path, exc_info=problem)
    return unreadable(path, problem)


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
