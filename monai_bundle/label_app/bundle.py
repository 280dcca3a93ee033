"""The packed bundle as the app uses it: one predictor, loaded again when a training has written new weights."""

from __future__ import annotations

import json
import threading
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from braintumor_ext.errors import InputError
from braintumor_ext.inference import Predictor

CONFIGS = ("configs/inference.json", "configs/train.json", "configs/metadata.json", "models/model.pt")


class Bundle:
    """A bundle's folder and its predictor.

    Args:
        root: the packed bundle's folder.

    Raises:
        InputError: the folder is no bundle; what it lacks is named.
    """

    def __init__(self, root: str | PathLike[str]) -> None:
        self.root = check_bundle(root)
        self.metadata: dict[str, Any] = json.loads((self.root / "configs" / "metadata.json").read_text("utf-8"))
        self._lock = threading.Lock()
        self._loaded: tuple[int, str, Predictor] | None = None

    @property
    def name(self) -> str:
        """The folder's name, which is the model's."""
        return self.root.name

    def predictor(self, device: str = "cpu") -> Predictor:
        """Return the predictor of the weights as they are now.

        Raises:
            InputError: the weights or their calibration cannot be used.
        """
        written = (self.root / "models" / "model.pt").stat().st_mtime_ns
        with self._lock:
            if self._loaded is None or self._loaded[:2] != (written, device):
                self._loaded = (written, device, Predictor.from_bundle(self.root, device=device))
            return self._loaded[2]


def check_bundle(root: str | PathLike[str]) -> Path:
    """Return a bundle's folder.

    Raises:
        InputError: it lacks something that a bundle has.
    """
    root = Path(root)
    missing = [name for name in CONFIGS if not (root / name).is_file()]
    if missing:
        raise InputError(root, f"is no bundle (it lacks {', '.join(missing)})", "Pack one: python -m monai_bundle.pack")
    return root.resolve()


def usable_device(wanted: Any) -> str:
    """Return the device that was asked for, or the CPU where there is no GPU.

    Raises:
        InputError: there is no device of that name.
    """
    if not wanted:
        return "cpu"
    try:
        name = str(torch.device(wanted))
    except (RuntimeError, TypeError) as error:
        raise InputError("device", f"{wanted!r} is no device", "Give cpu, cuda or cuda:0") from error
    return name if torch.cuda.is_available() else "cpu"
