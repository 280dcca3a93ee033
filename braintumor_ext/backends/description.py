"""What an exported network's file says of itself: one JSON document, so that the file suffices."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from monai.transforms import NormalizeIntensityd

from braintumor_ext.classes import Classes
from braintumor_ext.config_text import check_count, check_entries, check_plain
from braintumor_ext.transforms import ToUnitGreyd

METADATA_KEY = "braintumor_ext"
"""The key under which a file holds the document: an extra file ``braintumor_ext.json`` of TorchScript, a metadata
property of ONNX, an entry of OpenVINO's ``rt_info``."""


@dataclass(frozen=True)
class Description:
    """What is needed to use an exported network, and what it was made from."""

    classes: Classes  # those of the logits, in their order
    in_channels: int
    image_size: int  # side of the input in pixels that it was trained for
    preprocessing: Mapping[str, Any]  # how a slice becomes an input; see `preprocessing_constants`
    checkpoint: str
    sha256: str
    bundle_version: str
    # how far its outputs were from eager PyTorch's; None until it is measured, and of int8
    agreement: Mapping[str, Any] | None = None
    quantisation: Mapping[str, Any] | None = None  # of int8, what it costs; None of float32
    # of the file itself, see `braintumor_ext.backends.seal`; None of exports from before 0.6
    content_sha256: str | None = None

    def to_json(self) -> str:
        """Return the document, ASCII only."""
        content = {**self.classes.stored(), **vars(self)}
        del content["classes"]
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Description:
        """Return the description that ``to_json`` gave.

        Raises:
            ValueError: it is no such document, or an entry is not of its kind: a description is data, and nothing in it
                may be what MONAI evaluates in a config.
        """
        try:
            content = json.loads(text)
            check_entries({**dict.fromkeys(_CHECKS), **content}, _CHECKS)
            classes = Classes(content.pop("class_names"), content.pop("empty_class"))
            return cls(classes, **content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a description of an exported network ({error})") from error


def _check_kind(kind: type, what: str, value: Any) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r}, no {what}")
    check_plain(value)


def _check_sha256(value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{value!r}, no SHA-256")


def _check_seal(value: Any) -> None:
    if value is not None:
        _check_sha256(value)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "class_names": check_plain,
    "empty_class": check_plain,
    "in_channels": check_count,
    "image_size": check_count,
    "preprocessing": partial(_check_kind, dict, "entries"),
    "checkpoint": partial(_check_kind, str, "text"),
    "sha256": _check_sha256,
    "bundle_version": partial(_check_kind, str, "text"),
    "agreement": check_plain,
    "quantisation": check_plain,
    "content_sha256": _check_seal,
}
"""What each entry must be."""


def preprocessing_constants(preprocessing: Any, image_size: int) -> dict[str, Any]:
    """Return in words and numbers what the bundle's preprocessing, a ``Compose``, does to a slice.

    It holds a ``ToUnitGreyd`` and a ``NormalizeIntensityd``; ``image_size`` is the side of the input in pixels.
    """
    steps: Sequence[Any] = preprocessing.transforms
    grey = next(step for step in steps if isinstance(step, ToUnitGreyd)).converter
    scaled: Any = next(step for step in steps if isinstance(step, NormalizeIntensityd)).normalizer
    mean, std = ([float(value) for value in values] for values in (scaled.subtrahend, scaled.divisor))
    others = f"percentiles {grey.lower} and {grey.upper} of the slice become 0 and 1, clipped"
    return {
        "grey": f"8-bit values / 255, colours as ITU-R BT.601 luma; other values: {others}",
        "resize": "to a square, bilinear, antialiased",
        "image_size": image_size,
        "channels": len(mean),
        "mean": mean,
        "std": std,
        "layout": "float32 (batch, channels, height, width): the grey slice in each channel, (grey - mean) / std",
    }
