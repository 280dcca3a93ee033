"""Inference types: the mask with its predictions, and the heat map."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.prediction import Prediction
from braintumor_ext.series_prediction import series_prediction
from monai_bundle.label_app.bundle import Bundle, usable_device
from monai_bundle.label_app.study import Study, read_study


class SliceInferTask(InferTask):
    """Predict a slice, or each slice of a volume or series; the image result is the mask.

    Args:
        explain: the method whose heat map is the image result, instead of the mask.
    """

    def __init__(self, bundle: Bundle, explain: str | None = None) -> None:
        what = f"heat map ({explain})" if explain else "tumour mask"
        super().__init__(
            type=InferType.OTHERS if explain else InferType.SEGMENTATION,
            labels=[] if explain else {"tumour": 1},
            dimension=2,
            description=f"{what} and class of each slice: {bundle.metadata['description']}",
        )
        self.bundle, self.explain = bundle, explain

    def info(self) -> dict[str, Any]:
        """Return what clients are told of the model."""
        known = {"type": self.type, "labels": self.labels, "dimension": self.dimension}
        return {**known, "description": self.description, "config": {}, "version": self.bundle.metadata["version"]}

    def is_valid(self) -> bool:
        """Return whether the model can be used."""
        return True

    def get_path(self, validate: bool = True) -> str:
        """Return the weights' path."""
        return str(self.bundle.root / "models" / "model.pt")

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the path of the image result and the predictions.

        Raises:
            InputError: the image is absent or cannot be read.
        """
        begun = time.perf_counter()
        if not request.get("image"):
            raise InputError("image", "is not among the studies, and no file of that path exists", "Check its name")
        study = read_study(request["image"])
        predictor = self.bundle.predictor(usable_device(request.get("device")))
        found = predictor(list(study.slices), explain=self.explain)
        with tempfile.NamedTemporaryFile(suffix=study.suffix, delete=False) as file:
            target = Path(file.name)
        study.write([self._plane(one, study) for one in found], target)
        told = described(study, found, predictor.classes)
        return str(target), {**told, "latencies": {"total": round(time.perf_counter() - begun, 2)}}

    def _plane(self, found: Prediction, study: Study) -> np.ndarray:
        """Return the plane that is written: labels, or a heat map in [0, 1], as bytes in a picture."""
        if found.error is not None or found.mask is None:
            size = tuple(int(n) for n in study.meta["slice_size"])
            return np.zeros(size, dtype=np.float32 if self.explain and study.suffix != ".png" else np.uint8)
        if not self.explain:
            return found.mask.astype(np.uint8)
        assert found.heat_map is not None
        return np.round(found.heat_map * 255).astype(np.uint8) if study.suffix == ".png" else found.heat_map


def described(study: Study, found: list[Prediction], classes: Classes) -> dict[str, Any]:
    """Return the predictions as plain values: those of a single slice at the top, of several under ``slices``.

    Raises:
        InputError: no slice could be predicted.
    """
    errors = [one.error for one in found if one.error is not None]
    if len(errors) == len(found):
        raise InputError(study.path, str(errors[0]).rstrip("."), "Give another image")
    slices = []
    for index, (one, slice_) in enumerate(zip(found, study.slices, strict=True)):
        name = Path(str(slice_.meta["filename_or_obj"])).name
        slices.append({**one.to_dict(), "source": name, "slice": index})
    top = slices[0] if len(slices) == 1 else {}
    return {**top, "series": series_prediction(found, classes).to_dict(), "slices": slices}
