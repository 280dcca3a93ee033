"""From the network's output to a prediction about each slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from braintumor_ext.calibration.calibration import Calibration
from braintumor_ext.data.classes import CLASS_NAMES, EMPTY_CLASS, empty_class_of
from braintumor_ext.errors import InputError
from braintumor_ext.keys import CLASS, FEATURES, HEAT_MAP, HEAT_MAP_FLAGS, MASK
from braintumor_ext.prediction import Prediction

UPSCALED = "upscaled"
DISAGREE = "class and mask disagree"
_NOT_FINITE = "See that the weights and the slice's values are sound; if they are, predict it in float32"


class Postprocessor:
    """Turn a batch's output into predictions: the same ones from the bundle's inference and from Python.

    Args:
        class_names: the class names in the order of their indices.
        empty_class: the class whose masks are empty; None if there is none.
        image_size: the network's input size; smaller slices are flagged ``upscaled``.
        calibration: temperature and thresholds; None leaves the probabilities as the network gives them.
    """

    def __init__(
        self,
        class_names: Sequence[str] = CLASS_NAMES,
        empty_class: str | None = EMPTY_CLASS,
        image_size: int = 224,
        calibration: Calibration | None = None,
    ) -> None:
        self.class_names, self.empty_class = list(class_names), empty_class_of(empty_class, class_names)
        self.image_size = image_size
        self.calibration = calibration

    def __call__(self, output: Mapping[str, Any], index: int, meta: Mapping[str, Any]) -> Prediction:
        """Return the prediction of one slice of a batch.

        Args:
            output: ``class`` (B, K) and ``mask`` (B, 1, h, w) logits; where there are any, ``heat_map`` (B, 1, h, w)
                in [0, 1] with ``heat_map_flags``, and ``features`` (B, F).
            index: which slice of the batch.
            meta: the slice's metadata (see :class:`~braintumor_ext.transforms.SliceGrid`).

        Raises:
            InputError: the network's prediction holds NaN or infinite values.
        """
        for head in (CLASS, MASK):
            if not torch.isfinite(output[head][index]).all():
                problem = f"has a prediction that is not finite ({head})"
                raise InputError(str(meta["filename_or_obj"]) or "array in memory", problem, _NOT_FINITE)
        temperature = self.calibration.temperature if self.calibration is not None else 1.0
        shares = class_probabilities({CLASS: output[CLASS][index : index + 1]}, temperature)[0].numpy()
        height, width = (int(side) for side in meta["slice_size"])
        mask = mask_on_grid(output, index, height, width).numpy()
        best = int(shares.argmax())
        return Prediction(
            source=str(meta["filename_or_obj"]),
            label=self.class_names[best],
            class_index=best,
            probabilities={name: float(share) for name, share in zip(self.class_names, shares, strict=True)},
            mask=mask,
            heat_map=heat_map_on_grid(output, index, height, width),
            flags=tuple(self._flags(output, index, shares, mask)),
            calibrated=self.calibration is not None,
        )

    def _flags(self, output: Mapping[str, Any], index: int, shares: np.ndarray, mask: np.ndarray) -> list[str]:
        flags = []
        if self.calibration is not None:
            features = output[FEATURES][index].cpu().numpy() if FEATURES in output else None
            flags += self.calibration.flags_for(shares, features)
        if min(mask.shape) < self.image_size:
            flags.append(UPSCALED)
        is_empty_class = self.class_names[int(shares.argmax())] == self.empty_class
        if self.empty_class is not None and is_empty_class == bool(mask.any()):
            flags.append(DISAGREE)
        return [*flags, *filter(None, output.get(HEAT_MAP_FLAGS, [""] * (index + 1))[index : index + 1])]


def class_probabilities(output: Mapping[str, Tensor], temperature: float = 1.0) -> Tensor:
    """Return class probabilities (B, K) in float64 on the CPU, each row summing to 1.

    Args:
        output: the network's output; its ``class`` holds logits (B, K).
        temperature: what the logits are divided by, above 0; 1 leaves them as the network gives them.
    """
    return torch.softmax(output[CLASS].detach().double() / temperature, dim=1).cpu()


def mask_on_grid(output: Mapping[str, Tensor], index: int, height: int, width: int, threshold: float = 0.5) -> Tensor:
    """Return the mask of one slice of a batch on its own grid, (height, width) bool on the CPU.

    The probability is brought to the grid (bilinear), then cut: a mask cut first would have the network's coarse edge.

    Args:
        output: the network's output; its ``mask`` holds logits (B, 1, h, w).
        index: which slice of the batch.
        height: rows of the slice's own grid.
        width: columns of the slice's own grid.
        threshold: probability above which a pixel is tumour.
    """
    probability = torch.sigmoid(output[MASK][index : index + 1].detach().float())
    return (_on_grid(probability, height, width) > threshold).cpu()


def heat_map_on_grid(output: Mapping[str, Any], index: int, height: int, width: int) -> np.ndarray | None:
    """Return the heat map of one slice of a batch on its own grid, (height, width) float32 in [0, 1].

    Args:
        output: the network's output; None is returned where it has no ``heat_map`` (B, 1, h, w).
        index: which slice of the batch.
        height: rows of the slice's own grid.
        width: columns of the slice's own grid.
    """
    if output.get(HEAT_MAP) is None:
        return None
    return _on_grid(output[HEAT_MAP][index : index + 1].float(), height, width).clamp(0, 1).cpu().numpy()


def _on_grid(maps: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(maps, size=(height, width), mode="bilinear", align_corners=False)[0, 0]
