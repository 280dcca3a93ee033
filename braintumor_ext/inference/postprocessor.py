"""From the network's output to a prediction about each slice: of a batch, and of one slice on a server."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from braintumor_ext.calibration.calibration import Calibration, read_calibration
from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.errors import InputError
from braintumor_ext.files import state_of
from braintumor_ext.inference.row_errors import told_in
from braintumor_ext.keys import CLASS, ERROR, FEATURES, GREY, HEAT_MAP, HEAT_MAP_FLAGS, IMAGE, MASK, META, PREDICTION
from braintumor_ext.prediction import Prediction
from braintumor_ext.transforms.formats import ARRAY, PICTURE
from braintumor_ext.transforms.restore_grid import restore_grid

UPSCALED = "upscaled"
DISAGREE = "class and mask disagree"
_NOT_FINITE = "See that the weights and the slice's values are sound; if they are, predict it in float32"


class Postprocessor:
    """Turn a batch's output into predictions: an evaluator's ``postprocessing``, and the one way from logits to them.

    Args:
        image_size: the network's input size; smaller slices are flagged ``upscaled``.
        calibration: temperature and thresholds; None leaves the probabilities as the network gives them.
    """

    def __init__(
        self, classes: Classes = CLASSES, image_size: int = 224, calibration: Calibration | None = None
    ) -> None:
        self.classes, self.image_size, self.calibration = classes, image_size, calibration

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch with the ``prediction`` of each slice; one that cannot be made has an ``error``.

        Args:
            batch: as :func:`~braintumor_ext.inference.collate_slices` gives it, with ``meta`` and, where there are any,
                ``grey`` and ``error``; ``pred`` is the network's output, as for :meth:`predict`.
        """
        count = len(batch[META])
        slices = zip(batch[META], batch.get(GREY, [None] * count), batch.get(ERROR, [""] * count), strict=True)
        predictions = []
        for position, (meta, grey, error) in enumerate(slices):
            name = str(meta.get("filename_or_obj") or "array in memory")
            told = {"error": error}
            if not error:
                with told_in(told, name, "could not be predicted"):
                    predictions.append(self.predict(batch["pred"], position, meta, grey))
            if told["error"]:
                predictions.append(Prediction(name, error=told["error"], meta=meta))
        return {**batch, PREDICTION: predictions}

    def predict(
        self, output: Mapping[str, Any], index: int, meta: Mapping[str, Any], grey: Tensor | None = None
    ) -> Prediction:
        """Return the prediction of one slice of a batch.

        Args:
            output: ``class`` (B, K) and ``mask`` (B, 1, h, w) logits, the latter where there are any, as with
                ``heat_map`` (B, 1, h, w) in [0, 1] with ``heat_map_flags``, and ``features`` (B, F).
            meta: the slice's metadata (see :class:`~braintumor_ext.transforms.SliceGrid`).
            grey: (H, W) the slice in [0, 1]; None where it was not kept.

        Raises:
            InputError: the network's output holds NaN or infinite values.
        """
        for head in (CLASS, MASK):
            if head in output and not torch.isfinite(output[head][index]).all():
                problem = f"has a prediction that is not finite ({head})"
                raise InputError(str(meta["filename_or_obj"]) or "array in memory", problem, _NOT_FINITE)
        temperature = self.calibration.temperature if self.calibration is not None else 1.0
        logits = output[CLASS][index : index + 1].detach().double()
        shares = class_probabilities({CLASS: logits}, temperature)[0].numpy()
        features = output[FEATURES][index].detach().cpu().numpy() if FEATURES in output else None
        height, width = (int(side) for side in meta["slice_size"])
        mask = mask_on_grid(output, index, height, width).numpy() if MASK in output else None
        maps = output.get(HEAT_MAP)
        best = int(shares.argmax())
        flags = [] if self.calibration is None else self.calibration.flags_for(shares, features)
        if min(height, width) < self.image_size:
            flags.append(UPSCALED)
        empty = self.classes.empty_index
        if mask is not None and empty is not None and (best == empty) == bool(mask.any()):
            flags.append(DISAGREE)
        flags += filter(None, output.get(HEAT_MAP_FLAGS, [])[index : index + 1])
        return Prediction(
            source=str(meta["filename_or_obj"]),
            label=self.classes[best],
            class_index=best,
            probabilities={name: float(share) for name, share in zip(self.classes, shares, strict=True)},
            mask=mask,
            heat_map=None if maps is None else heat_map_on_grid(maps, index, height, width),
            flags=tuple(flags),
            calibrated=self.calibration is not None,
            image=None if grey is None else grey.numpy(),
            logits=logits[0].cpu().numpy(),
            features=features,
            meta=meta,
        )


def class_probabilities(output: Mapping[str, Tensor], temperature: float = 1.0) -> Tensor:
    """Return class probabilities (B, K) in float64 on the CPU, of ``class`` logits (B, K) divided by T > 0."""
    return torch.softmax(output[CLASS].detach().double() / temperature, dim=1).cpu()


def mask_on_grid(output: Mapping[str, Tensor], index: int, height: int, width: int, threshold: float = 0.5) -> Tensor:
    """Return the mask of one slice of a batch on its own grid, (height, width) bool on the CPU.

    The probability of an output's ``mask`` logits (B, 1, h, w) is brought to the grid (bilinear), then cut at the
    threshold: a mask cut first would have the network's coarse edge.
    """
    probability = torch.sigmoid(output[MASK][index : index + 1].detach().float())
    return (_on_grid(probability, height, width) > threshold).cpu()


def heat_map_on_grid(maps: Tensor, index: int, height: int, width: int) -> np.ndarray:
    """Return the heat map of one slice of a batch, (B, 1, h, w) in [0, 1], on its own grid, (height, width) float32."""
    return _on_grid(maps[index : index + 1].detach().float(), height, width).clamp(0, 1).cpu().numpy()


def _on_grid(maps: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)[0, 0]


class Postprocessd(MapTransform):
    """What a config calls ``postprocessing``: an evaluator's, of whole batches, and a server's, of one slice.

    A batch gets its predictions (see :class:`~braintumor_ext.inference.Postprocessor`). Of one slice ``pred`` becomes
    the mask, uint8 of 0 and 1, in the file's own shape and in ITK's index order: (column, row) of a picture, the file's
    own order otherwise. ``result`` becomes the prediction as plain values. The image's metadata tell that shape and its
    affine as ``spatial_shape`` and ``original_affine``, where a restoring or writing step that follows finds them.

    Args:
        keys: where the output is: ``class`` (K,) and ``mask`` (1, h, w) logits, with what else
            :class:`~braintumor_ext.explain.ExplainingInferer` gives for one slice.
        calibration: ``calibration.json``; of one slice it is read again when it or the checkpoint has changed, as a
            server trains while it runs. None or ``none`` for none.
        checkpoint: the weights in use; None leaves the probabilities as the network gives them.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        postprocessor: Postprocessor,
        calibration: str | PathLike[str] | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> None:
        super().__init__(keys)
        self.postprocessor = postprocessor
        self.calibration, self.checkpoint = calibration, checkpoint
        self._read: tuple[Any, Calibration | None] | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the batch with predictions, or the item with mask and prediction.

        Raises:
            InputError: the calibration is broken or belongs to another checkpoint.
        """
        item: dict[Any, Any] = dict(data)
        if META in item:
            return item | self.postprocessor(item)
        image = item[IMAGE]
        used = Postprocessor(self.postprocessor.classes, self.postprocessor.image_size, self._constants())
        for key in self.key_iterator(item):
            prediction = used.predict(_as_batch(item[key]), 0, image.meta)
            assert prediction.mask is not None
            mask, affine = restore_grid(prediction.mask, image.meta)
            if image.meta["container"] in (PICTURE, ARRAY):  # stored row by row
                mask = np.ascontiguousarray(np.swapaxes(mask, 0, 1))
            meta = {**image.meta, "spatial_shape": np.array(mask.shape), "original_affine": affine}
            item[key], item["result"] = mask, prediction.to_dict()
            item[IMAGE] = MetaTensor(image.as_tensor(), meta=meta, applied_operations=image.applied_operations)
        return item

    def _constants(self) -> Calibration | None:
        if self.calibration is None or self.checkpoint is None:
            return None
        state = [state_of(path) for path in (self.calibration, self.checkpoint)]
        if self._read is None or self._read[0] != state:
            self._read = (state, read_calibration(self.calibration, self.checkpoint, self.postprocessor.image_size))
        return self._read[1]


def _as_batch(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return one slice's output as that of a batch of one."""
    batch = {name: value[None] for name, value in output.items() if isinstance(value, torch.Tensor)}
    flags = output.get(HEAT_MAP_FLAGS, "")
    return {**batch, HEAT_MAP_FLAGS: [flags] if isinstance(flags, str) else list(flags)}
