"""What all DICOM objects have in common: which algorithm made them, and how they are written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes

from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing, sha256_of

RESEARCH_ONLY = "Research use only, not for diagnosis"
"""What every object says of itself."""

FAMILY = codes.DCM.ArtificialIntelligence
_LONG_STRING = 64  # characters that DICOM allows in a name


@dataclass(frozen=True)
class Algorithm:
    """The name and version of what gave a prediction."""

    name: str  # the bundle's name
    version: str  # the bundle's version
    manufacturer: str  # who made it
    sha256: str | None = None  # of the checkpoint, in hexadecimal; None where no checkpoint is known

    def identification(self) -> hd.AlgorithmIdentificationSequence:
        """Return the algorithm identification of a segment."""
        return hd.AlgorithmIdentificationSequence(
            name=self.name[:_LONG_STRING],
            family=FAMILY,
            version=self.version[:_LONG_STRING],
            source=self.manufacturer[:_LONG_STRING],
            parameters={"checkpoint_sha256": self.sha256} if self.sha256 else None,
        )

    def content(self) -> hd.sr.AlgorithmIdentification:
        """Return the algorithm identification of a structured report (TID 4019)."""
        return hd.sr.AlgorithmIdentification(
            name=self.name,
            version=self.version,
            parameters=[f"checkpoint_sha256={self.sha256}"] if self.sha256 else None,
            family=FAMILY,
            manufacturer=self.manufacturer,
        )


def read_algorithm(metadata: str | PathLike[str], checkpoint: str | PathLike[str] | None = None) -> Algorithm:
    """Return the algorithm that a bundle's metadata and checkpoint make up.

    Args:
        metadata: the bundle's ``configs/metadata.json``; its name, version and authors are told.
        checkpoint: the weights; where there is no such file, no SHA-256 is told.

    Raises:
        InputError: the metadata cannot be read, or lack a name or a version.
    """
    try:
        content: dict[str, Any] = json.loads(Path(metadata).read_text(encoding="utf-8"))
        name, version = str(content["name"]), str(content["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"cannot be read as a bundle's metadata ({type(error).__name__}: {error})"
        raise InputError(metadata, problem, "Give the bundle's configs/metadata.json") from error
    sha256 = sha256_of(checkpoint) if checkpoint is not None and Path(checkpoint).is_file() else None
    return Algorithm(name, version, str(content.get("authors") or "unknown"), sha256)


def of_new_series(source: pydicom.Dataset, offset: int, what: str, algorithm: Algorithm) -> dict[str, Any]:
    """Return what every object holds as the only one of a new series: highdicom's arguments for it.

    The series has the number of the source's and an offset behind it (401 gives 40101); the serial number of the
    equipment is the checkpoint's SHA-256; the character set holds names in whatever set the sources have them.
    """
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return {
        "series_instance_uid": hd.UID(),
        "series_number": 100 * number + offset if 0 < number < 10_000_000 else offset,
        "series_description": f"{what}. {RESEARCH_ONLY}",
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
        "specific_character_set": "ISO_IR 192",  # UTF-8
        "manufacturer": algorithm.manufacturer[:_LONG_STRING],
        "manufacturer_model_name": algorithm.name[:_LONG_STRING],
        "software_versions": algorithm.version[:_LONG_STRING],
        "device_serial_number": algorithm.sha256 or "unknown checkpoint",
    }


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
