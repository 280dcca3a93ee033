"""Postprocessing as a dictionary transform: for evaluators, and for servers that run a config's ``postprocessing``."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from braintumor_ext.calibration.calibration import Calibration, read_calibration
from braintumor_ext.inference.postprocessor import Postprocessor
from braintumor_ext.keys import HEAT_MAP_FLAGS, IMAGE, META
from braintumor_ext.transforms.formats import ARRAY, PICTURE
from braintumor_ext.transforms.restore_grid import restore_grid


class Postprocessd(MapTransform):
    """What a config calls ``postprocessing``: an evaluator's, of whole batches, and a server's, of one slice.

    A batch gets its predictions (see :class:`~braintumor_ext.inference.Postprocessor`). Of one slice ``pred`` becomes
    the mask, uint8 of 0 and 1, in the file's own shape and in ITK's index order: (column, row) of a picture, the file's
    own order otherwise. ``result`` becomes the prediction as plain values. The image's metadata tell that shape and its
    affine as ``spatial_shape`` and ``original_affine``, where a restoring or writing step that follows finds them.

    Args:
        keys: where the output is: ``class`` (K,) and ``mask`` (1, h, w) logits, with what else
            :class:`~braintumor_ext.explain.ExplainingInferer` gives for one slice.
        postprocessor: makes the predictions.
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
            item.update(self.postprocessor(item))
            return item
        image = item[IMAGE]
        used = self.postprocessor
        used = Postprocessor(used.classes, used.image_size, self._constants())
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
        state = [_state(path) for path in (self.calibration, self.checkpoint)]
        if self._read is None or self._read[0] != state:
            self._read = (state, read_calibration(self.calibration, self.checkpoint, self.postprocessor.image_size))
        return self._read[1]


def _state(path: str | PathLike[str]) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _as_batch(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return one slice's output as that of a batch of one."""
    batch = {name: value[None] for name, value in output.items() if isinstance(value, torch.Tensor)}
    flags = output.get(HEAT_MAP_FLAGS, "")
    return {**batch, HEAT_MAP_FLAGS: [flags] if isinstance(flags, str) else list(flags)}
