"""What all DICOM objects have in common, and how they are written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import pydicom

from braintumor_ext.files import replacing

UTF8 = "ISO_IR 192"
"""The character set of the objects: it holds names in whatever set the sources have them."""


@contextmanager
def names_unsaid() -> Iterator[None]:
    """Keep highdicom from warning of a patient's name that has one part only: a log is no place for names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*unlikely to represent the intended person name")
        yield


def write_dicom(dataset: pydicom.Dataset, path: str | PathLike[str]) -> Path:
    """Write a DICOM object, and return where; a file of that name is replaced, missing folders are made.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    with replacing(path) as partial:
        dataset.save_as(partial)
    return Path(path)
