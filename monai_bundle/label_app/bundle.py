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
from monai_bundle.bundle_folder import problem_with


class Bundle:
    """A bundle's folder and its predictor.

    Raises:
        InputError: the folder is no bundle; what it lacks is named.
    """

    def __init__(self, root: str | PathLike[str]) -> None:
        if wrong := problem_with(Path(root)):
            raise InputError(root, *wrong)
        self.root = Path(root).resolve()
        self.name = self.root.name  # which is the model's
        self.metadata: dict[str, Any] = json.loads((self.root / "configs" / "metadata.json").read_text("utf-8"))
        self._lock = threading.Lock()
        self._loaded: tuple[int, str, Predictor] | None = None

    def predictor(self, device: str = "cpu") -> Predictor:
        """Return the predictor of the weights as they are now."""
        written = (self.root / "models" / "model.pt").stat().st_mtime_ns
        with self._lock:
            if self._loaded is None or self._loaded[:2] != (written, device):
                self._loaded = (written, device, Predictor.from_bundle(self.root, device=device))
            return self._loaded[2]


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
