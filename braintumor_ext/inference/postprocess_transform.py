"""The prediction about one slice as a dictionary transform: for servers that run the config's ``postprocessing``."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from braintumor_ext.calibration.calibration import Calibration, read_calibration
from braintumor_ext.data.classes import CLASS_NAMES, EMPTY_CLASS
from braintumor_ext.inference.postprocessor import Postprocessor
from braintumor_ext.keys import HEAT_MAP_FLAGS, IMAGE
from braintumor_ext.transforms.formats import ARRAY, PICTURE
from braintumor_ext.transforms.restore_grid import restore_grid


class Postprocessd(MapTransform):
    """Turn the network's output of one slice into its mask and its prediction; the numbers are the predictor's.

    ``pred`` becomes the mask, uint8 of 0 and 1, in the file's own shape and in ITK's index order: (column, row) of a
    picture, the file's own order otherwise. ``result`` becomes the prediction as plain values. The image's metadata
    tell that shape and its affine as ``spatial_shape`` and ``original_affine``, where a restoring or writing step that
    follows finds them.

    Args:
        keys: where the output is: ``class`` (K,) and ``mask`` (1, h, w) logits, with what else
            :class:`~braintumor_ext.explain.ExplainingInferer` gives for one slice.
        image_key: the slice's item, whose metadata are those of :class:`~braintumor_ext.transforms.SliceGrid`.
        result_key: where the prediction goes.
        class_names: the class names in the order of their indices.
        empty_class: the class whose masks are empty; None if there is none.
        image_size: the network's input size.
        calibration: ``calibration.json``; read again when it or the checkpoint has changed, as a server trains while
            it runs. None or ``none`` for none.
        checkpoint: the weights in use; None leaves the probabilities as the network gives them.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        image_key: str = IMAGE,
        result_key: str = "result",
        class_names: Sequence[str] = CLASS_NAMES,
        empty_class: str | None = EMPTY_CLASS,
        image_size: int = 224,
        calibration: str | PathLike[str] | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> None:
        super().__init__(keys)
        self.image_key, self.result_key = image_key, result_key
        self.class_names, self.empty_class, self.image_size = class_names, empty_class, image_size
        self.calibration, self.checkpoint = calibration, checkpoint
        self._read: tuple[Any, Calibration | None] | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with mask and prediction.

        Raises:
            InputError: the calibration is broken or belongs to another checkpoint.
        """
        item = dict(data)
        image = item[self.image_key]
        decode = Postprocessor(self.class_names, self.empty_class, self.image_size, self._constants())
        for key in self.key_iterator(item):
            prediction = decode(_as_batch(item[key]), 0, image.meta)
            assert prediction.mask is not None
            mask, affine = restore_grid(prediction.mask, image.meta)
            if image.meta["container"] in (PICTURE, ARRAY):  # stored row by row
                mask = np.ascontiguousarray(np.swapaxes(mask, 0, 1))
            meta = {**image.meta, "spatial_shape": np.array(mask.shape), "original_affine": affine}
            item[key], item[self.result_key] = mask, prediction.to_dict()
            item[self.image_key] = MetaTensor(image.as_tensor(), meta=meta, applied_operations=image.applied_operations)
        return item

    def _constants(self) -> Calibration | None:
        if self.calibration is None or self.checkpoint is None:
            return None
        state = [_state(path) for path in (self.calibration, self.checkpoint)]
        if self._read is None or self._read[0] != state:
            self._read = (state, read_calibration(self.calibration, self.checkpoint, self.image_size))
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
