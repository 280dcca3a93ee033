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
from braintumor_ext.data.picture_frame import framed_picture
from braintumor_ext.data.suspicions import mask_signs, suspicions
from braintumor_ext.data.thumbnails import thumbnail
from braintumor_ext.errors import InputError, unreadable
from braintumor_ext.files import sha256_of
from braintumor_ext.transforms import ToBinaryMask, ToUnitGrey, read_slice

logger = logging.getLogger(__name__)


@dataclass
class InspectedSlice:
    """A usable slice.

    Args:
        found: where it is and what its folder says.
        properties: of the source file.
        sha256: of the source file's bytes, in hexadecimal.
        thumbnail: (48, 48) uint8.
        framed: (64, 64) uint8 of ``framed_picture``, by which copies are found.
        mask: its tumour mask, if there is one and it fits.
        mask_area: the mask's tumour pixels; None where there is no mask.
        mask_signs: what speaks against the mask.
        suspicions: what speaks against its being a grey MRI.
        group: its group, once that is known.
        section: its section of the split, once that is known.
    """

    found: FoundSlice
    properties: FileProperties
    sha256: str
    thumbnail: np.ndarray
    framed: np.ndarray
    mask: Path | None = None
    mask_area: int | None = None
    mask_signs: list[str] = field(default_factory=list)
    suspicions: list[str] = field(default_factory=list)
    group: str = ""
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

    Args:
        slices: the files.
        classes: a mask with tumour in a slice of the empty one is a problem.

    Returns:
        The usable slices, and what had to be left out: unusable images, and masks that do not fit theirs.
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
        slice_ = InspectedSlice(
            found,
            properties,
            sha256_of(found.path),
            thumbnail(grey),
            framed_picture(grey),
            suspicions=suspicions(raw.numpy(), grey),
        )
    except InputError as problem:
        return None, problem
    except Exception as problem:  # whatever it is, it costs one file
        return None, _unexpected(found.path, problem)
    if found.mask is None:
        return slice_, None
    try:
        slice_.mask_area, slice_.mask_signs = _mask_facts(found, (properties.height, properties.width), classes)
    except InputError as problem:
        return slice_, problem
    except Exception as problem:
        return slice_, _unexpected(found.mask, problem)
    slice_.mask = found.mask
    return slice_, None


def _unexpected(path: Path, problem: Exception) -> InputError:
    logger.debug("%s could not be read.", path, exc_info=problem)
    return unreadable(path, problem)


def _mask_facts(found: FoundSlice, shape: tuple[int, ...], classes: Classes) -> tuple[int, list[str]]:
    """Return the tumour pixels of a slice's mask, and what speaks against it."""
    if found.mask is None:
        raise ValueError(f"{found.key} has no mask")
    stored = read_slice(found.mask, labels=True)
    mask = ToBinaryMask()(stored).numpy()[0]
    if mask.shape != shape:
        raise InputError(
            found.mask,
            f"is {mask.shape[1]}x{mask.shape[0]}, but its image {found.source} is {shape[1]}x{shape[0]}",
            "Give the mask that belongs to the image; until then its mask counts as unknown",
        )
    area = int(mask.sum())
    if area > 0 and found.class_name == classes.empty:
        raise InputError(
            found.mask,
            f"marks {area} tumour pixels in a slice of the class {classes.empty!r}",
            "Correct the class or the mask; until then the mask counts as empty",
        )
    return area, mask_signs(stored.numpy(), mask)
