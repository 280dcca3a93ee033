"""Which algorithm gave a prediction: what a DICOM object tells of its origin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import highdicom as hd
from pydicom.sr.codedict import codes
from pydicom.uid import UID, generate_uid

from braintumor_ext.errors import InputError
from braintumor_ext.files import sha256_of

RESEARCH_ONLY = "Research use only, not for diagnosis"
"""What every object says of itself."""

FAMILY = codes.DCM.ArtificialIntelligence
_LONG_STRING = 64  # characters that DICOM allows in a name


@dataclass(frozen=True)
class Algorithm:
    """The name and version of what gave a prediction.

    Args:
        name: the bundle's name.
        version: the bundle's version.
        manufacturer: who made it.
        sha256: of the checkpoint, in hexadecimal; None where no checkpoint is known.
    """

    name: str
    version: str
    manufacturer: str
    sha256: str | None = None

    @property
    def equipment(self) -> dict[str, Any]:
        """What the General Equipment module of an object holds; the checkpoint's SHA-256 is its serial number."""
        return {
            "manufacturer": self.manufacturer[:_LONG_STRING],
            "manufacturer_model_name": self.name[:_LONG_STRING],
            "software_versions": self.version[:_LONG_STRING],
            "device_serial_number": self.sha256 or "unknown checkpoint",
        }

    @property
    def device_uid(self) -> UID:
        """A UID that is the same for the same name, version and checkpoint."""
        return generate_uid(entropy_srcs=[self.name, self.version, self.sha256 or ""])

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
    known = checkpoint is not None and Path(checkpoint).is_file()
    return Algorithm(
        name=name,
        version=version,
        manufacturer=str(content.get("authors") or "unknown"),
        sha256=sha256_of(checkpoint) if checkpoint is not None and known else None,
    )
