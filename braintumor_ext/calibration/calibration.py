"""``calibration.json``: what makes a model's predictions cautious, and which model it belongs to."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from braintumor_ext.calibration.ood_detector import FeatureDetector
from braintumor_ext.calibration.precision_agreement import PrecisionAgreement
from braintumor_ext.config_text import check_plain
from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing, replacing, sha256_of

logger = logging.getLogger(__name__)

CALIBRATION = "calibration.json"
"""The file's name, beside its checkpoint."""

LOW_CONFIDENCE = "low confidence"
"""The flag of a prediction whose confidence is below the threshold."""

UNUSUAL_INPUT = "does not look like a brain MRI slice"
"""The flag of an input whose features are far from those of the training's slices."""

NOT_CALIBRATED = "none (probabilities are not calibrated)"
"""What a report says where there is no calibration."""

_FIT_AGAIN = (
    "Fit it again with python -m monai.bundle run calibrating "
    "--config_file \"['configs/train.json','configs/calibrate.json']\", or give --calibration none"
)


@dataclass(frozen=True)
class Calibration:
    """Constants fitted to one checkpoint."""

    temperature: float  # T > 0 of softmax(logits / T)
    confidence_threshold: float  # in [0, 1]; a prediction of less confidence is flagged
    confidence_target: float  # the share of right predictions, in (0, 1], that the threshold was chosen for
    detector: FeatureDetector | None  # tells inputs that are no brain MRI slices; None for a network without features
    checkpoint: str  # the name of the checkpoint's file
    sha256: str  # the checkpoint's SHA-256
    class_names: tuple[str, ...]  # K class names in the order of their indices
    image_size: int  # side of the network's input in pixels
    fitted_on: str  # the section that temperature and thresholds were fitted on
    slices: int  # its slices of known class
    groups: int  # their groups
    date: str  # day of the fit, YYYY-MM-DD
    # how far the predictions in bfloat16 are from those in float32, on the same slices; None where it was not measured
    bfloat16: PrecisionAgreement | None = None

    def flags_for(self, probabilities: ArrayLike, features: ArrayLike | None = None) -> list[str]:
        """Return the warnings about one prediction: ``LOW_CONFIDENCE``, ``UNUSUAL_INPUT``, both or none.

        Args:
            probabilities: (K,) class probabilities, made with this temperature.
            features: (F,) of the network, as :class:`~braintumor_ext.explain.ExplainingInferer` gives them, if it does.

        Raises:
            ValueError: the number of features is not the detector's.
        """
        flags = []
        if not float(np.max(np.asarray(probabilities, dtype=float))) >= self.confidence_threshold:  # NaN is flagged too
            flags.append(LOW_CONFIDENCE)
        if self.detector is None or features is None:
            return flags
        if self.detector.is_unusual(np.asarray(features, dtype=float)[None])[0]:
            flags.append(UNUSUAL_INPUT)
        return flags

    def __str__(self) -> str:
        return f"temperature {self.temperature:.3g}, fitted on {self.fitted_on}"

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain values."""
        detector = self.detector.to_dict() if self.detector is not None else None
        bfloat16 = vars(self.bfloat16) if self.bfloat16 is not None else None
        return {**vars(self), "class_names": list(self.class_names), "detector": detector, "bfloat16": bfloat16}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """Return the calibration that ``to_dict`` gave; ``bfloat16`` may be absent, as before 0.6.

        Raises:
            ValueError: an entry is absent or has a value that makes no sense; it is named.
        """
        content = {"bfloat16": None, **content}
        missing = [name for name in cls.__dataclass_fields__ if name not in content]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}")
        values = {name: content[name] for name in cls.__dataclass_fields__}
        for name, low, high in (
            ("temperature", 0.0, math.inf),
            ("confidence_threshold", 0.0, 1.0),
            ("confidence_target", 0.0, 1.0),
            ("image_size", 1, math.inf),
        ):
            value = values[name]
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not low <= value <= high or (name == "temperature" and value == 0):
                raise ValueError(f"{name} is {value!r}")
        names = values["class_names"]
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"class_names is {names!r}")
        for name in ("checkpoint", "sha256", "fitted_on", "date"):
            if not isinstance(values[name], str):
                raise ValueError(f"{name} is {values[name]!r}")
        for name in ("slices", "groups"):
            if type(values[name]) is not int or values[name] < 0:
                raise ValueError(f"{name} is {values[name]!r}")
        check_plain([values[name] for name in ("checkpoint", "sha256", "fitted_on", "date", "class_names")])
        detector = values["detector"]
        values["detector"] = None if detector is None else FeatureDetector.from_dict(detector)
        if (bfloat16 := values["bfloat16"]) is not None:
            if not isinstance(bfloat16, Mapping):
                raise ValueError(f"bfloat16 is {bfloat16!r}")
            values["bfloat16"] = PrecisionAgreement.from_dict(bfloat16)
        return cls(**{**values, "class_names": tuple(names)})


def write_calibration(path: str | os.PathLike[str], calibration: Calibration) -> None:
    """Write ``calibration.json``; an earlier one is kept under another name."""
    target = Path(path)
    # one entry a line: the detector's thousands of numbers are no reading matter
    lines = [f'    "{key}": {json.dumps(value, allow_nan=False)}' for key, value in calibration.to_dict().items()]
    with replacing(target) as partial:
        partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        backup_existing(target)


def read_calibration(
    path: str | os.PathLike[str] | None,
    checkpoint: str | os.PathLike[str],
    image_size: int | None = None,
    sha256: str | None = None,
) -> Calibration | None:
    """Read the calibration of a checkpoint.

    Args:
        path: ``calibration.json``; None, an empty text or ``none`` for none.
        checkpoint: the weights in use.
        image_size: the input's side in use; another one than in the fit is a warning.
        sha256: the checkpoint's SHA-256 where it is known without the file, as an exported network knows it.

    Returns:
        None where none is wanted or the file does not exist; the log says that probabilities are not calibrated.

    Raises:
        InputError: the file is broken or lacks something, or was fitted to another checkpoint.
    """
    if path is None or str(path).strip().lower() in ("", "none"):
        logger.info("No calibration is used: probabilities are not calibrated, and unusual inputs are not told.")
        return None
    path = Path(path)
    if not path.exists():
        logger.warning(
            "%s: there is no calibration: probabilities are not calibrated, and unusual inputs are not told.", path
        )
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("holds no JSON object")
        calibration = Calibration.from_dict(content)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise InputError(path, f"not a calibration ({error})", _FIT_AGAIN) from error
    if sha256 is None and not Path(checkpoint).is_file():
        raise InputError(checkpoint, "no such checkpoint", "Train first, or give the path of a model.pt")
    if calibration.sha256 != (sha256 or sha256_of(checkpoint)):
        problem = f"it was fitted to another {calibration.checkpoint} than {checkpoint}"
        raise InputError(path, problem, _FIT_AGAIN)
    if image_size is not None and int(image_size) != calibration.image_size:
        sizes = calibration.image_size, int(image_size)
        logger.warning("%s was fitted at image_size %d, not %d: its thresholds may not hold.", path, *sizes)
    return calibration


def describe_calibration(calibration: Calibration | None) -> str:
    """Return what a report says of the calibration in use."""
    return NOT_CALIBRATED if calibration is None else str(calibration)


def set_stale_calibration_aside(checkpoint: str | os.PathLike[str]) -> Path | None:
    """Rename the calibration beside a checkpoint that it was not fitted to; return its new path, None if it stays."""
    path = Path(checkpoint).with_name(CALIBRATION)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        known = None  # broken: it would be refused
    return None if known == sha256_of(checkpoint) else backup_existing(path)


def group_count(groups: Sequence[str | None]) -> int:
    """Return how many groups there are; a slice without one is a group by itself."""
    return len(set(groups) - {None}) + sum(group is None for group in groups)
