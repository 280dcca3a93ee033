"""Maps of what a prediction rests on, by one of several methods, for batches of any mixture."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from monai.networks.utils import eval_mode
from monai.visualize import GradCAM, GradCAMpp, OcclusionSensitivity, SmoothGrad
from torch import Tensor, nn

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.explain.activation_gradients import ActivationGradients
from braintumor_ext.explain.layers import DEFAULT_LAYER, attention_map
from braintumor_ext.explain.scores import (
    HEADS,
    class_indices,
    class_score,
    head_of,
    mask_score,
    mean_inside,
    named,
    to_unit_range,
)
from braintumor_ext.keys import CLASS, MASK
from braintumor_ext.networks import ClassView

METHODS = ("gradcam", "gradcam++", "occlusion", "smoothgrad", "attention")
"""Grad-CAM (https://arxiv.org/abs/1610.02391), Grad-CAM++ (https://arxiv.org/abs/1710.11063), occlusion sensitivity
(https://arxiv.org/abs/1311.2901), SmoothGrad (https://arxiv.org/abs/1706.03825), the spatial attention's own gate."""

NO_PIXEL = "no predicted pixel to explain"
FLAT_MAP = "constant heat map"
OCCLUDED_SHARE = 6  # the occluding square's side is the image's, divided by this
LEAST_FALL = 1e-5  # a fall of the score by less than this share of it is rounding: without any other, the map is empty

CAP = 0.99
"""SmoothGrad's values above this quantile are cut, as its paper does: a few pixels would leave all others black."""


class Explanation(NamedTuple):
    """A prediction and what it rests on."""

    output: dict[str, Tensor]
    maps: Tensor  # (B, 1, H, W) float32 in [0, 1] on the input's grid; 0 everywhere where there is nothing to show
    flags: list[str]  # for each image what is remarkable about its map, or an empty text


@dataclass(eq=False, repr=False)
class Explainer:
    """Explain a network's predictions: the predicted class, a given one, or the predicted mask.

    An image's map is the same alone and in any batch. Usable within ``no_grad``, ``inference_mode`` and autocast; it is
    always computed in float32. Grad-CAM and Grad-CAM++ share their forward pass with the prediction.

    Raises:
        ValueError: there is no such method, head or layer; valid ones are listed.

    Example::

        >>> explain = Explainer(BrainTumorNet(), "gradcam")
        >>> explain(torch.zeros(2, 3, 64, 64), "glioma").maps.shape
        torch.Size([2, 1, 64, 64])
    """

    network: nn.Module  # gives ``{"class": (B, K), "mask": (B, 1, H, W)}`` logits, or one of the two
    method: str = "gradcam"
    layer: str = DEFAULT_LAYER  # whose activations are weighed (Grad-CAM, Grad-CAM++) or whose gate is shown
    head: str = CLASS
    classes: Classes = CLASSES
    n_batch: int = 32  # how many occluded images are predicted at a time
    n_samples: int = 25  # how many noisy copies SmoothGrad averages
    seed: int = 0  # of SmoothGrad's noise, the same for each image

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"there is no method {self.method!r}: valid are {', '.join(METHODS)}.")
        if self.head not in HEADS:
            raise ValueError(f"there is no head {self.head!r}: valid are {', '.join(HEADS)}.")
        if self.method in ("gradcam", "gradcam++"):
            kind: Any = GradCAM if self.method == "gradcam" else GradCAMpp  # they take a ModelWithHooks as it is
            score = class_score if self.head == CLASS else mask_score
            self._gradients = ActivationGradients(self.network, self.layer, score)
            self._cam = kind(self._gradients, self.layer, postprocessing=to_unit_range)

    def __call__(self, x: Tensor, explain_class: int | str | Sequence[int | str] | Tensor | None = None) -> Explanation:
        """Predict and explain images.

        Args:
            explain_class: an index or a name for all images, or one for each; None for the predicted ones. Of no effect
                on the mask's maps.

        Raises:
            ValueError: a class is unknown (valid ones are listed), or the network has no such head.
        """
        x = x.as_tensor() if hasattr(x, "as_tensor") else x  # a MetaTensor's upkeep costs more than the map
        wanted = self._indices(explain_class)
        with torch.inference_mode(False), eval_mode(self.network), torch.autocast(x.device.type, enabled=False):
            images = (x.clone() if x.is_inference() else x).float()
            if self.method in ("gradcam", "gradcam++"):
                maps = self._cam(images, class_idx=wanted)
                output = self._gradients.output
            else:
                output = self.network(images)
                maps = to_unit_range(self._slow_maps(images, output, wanted))
        detached = {name: value.detach() for name, value in named(output).items()}
        return Explanation(detached, maps.detach(), self._flags(output, maps))

    def _indices(self, explain_class: Any) -> Any:
        """Replace class names by their indices."""
        if isinstance(explain_class, str):
            return self.classes.index(explain_class)
        if isinstance(explain_class, Sequence):
            return [self._indices(entry) for entry in explain_class]
        return explain_class

    def _slow_maps(self, images: Tensor, output: Any, wanted: Any) -> Tensor:
        """The maps of methods that look at one image at a time, (B, 1, H, W)."""
        if self.method == "attention":
            return attention_map(self.network, images, self.layer)
        logits = head_of(output, self.head)
        classes = class_indices(logits, wanted).tolist() if self.head == CLASS else [0] * len(images)
        regions = [None] * len(images) if self.head == CLASS else list(logits.split(1))
        one = self._occlusion if self.method == "occlusion" else self._smooth_grad
        return torch.cat([one(images[i : i + 1], classes[i], regions[i]) for i in range(len(images))])

    def _occlusion(self, image: Tensor, index: int, mask_logits: Tensor | None) -> Tensor:
        """How much the score falls when a square of the image's mean value covers a place, (1, 1, H, W)."""
        score = _HeadScore(self.network, None if mask_logits is None else mask_logits > 0)
        side = max(min(image.shape[2:]) // OCCLUDED_SHARE, 1)
        occlude = OcclusionSensitivity(
            score, mask_size=side, n_batch=self.n_batch, mode="mean_img", overlap=0.5, activate=False, verbose=False
        )
        with warnings.catch_warnings():
            # monai 1.6.1 indexes tensors by lists of slices, of which torch warns for each occluded image.
            warnings.filterwarnings("ignore", message="Using a non-tuple sequence for multidimensional indexing")
            occluded, _ = occlude(image)
        before = score(image)[:, index].reshape(1, 1, 1, 1)
        fall = F.relu(before - occluded.as_subclass(Tensor)[:, index : index + 1])
        return torch.where(fall > LEAST_FALL * before.abs(), fall, 0.0)

    def _smooth_grad(self, image: Tensor, index: int, mask_logits: Tensor | None) -> Tensor:
        """The gradient's magnitude at each pixel, averaged over noisy copies, (1, 1, H, W)."""
        if mask_logits is None:
            gradients = ActivationGradients(ClassView(self.network))
        else:
            region = mask_logits > 0  # of the slice itself, for all its noisy copies
            gradients = ActivationGradients(self.network, score=lambda out, _: mean_inside(head_of(out, MASK), region))
        with torch.random.fork_rng([image.device] if image.device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            smooth = SmoothGrad(gradients, n_samples=self.n_samples, verbose=False)(image, index)  # type: ignore[arg-type]
        magnitude = smooth.mean(1, keepdim=True)
        return magnitude.clamp_max(torch.quantile(magnitude, CAP))

    def _flags(self, output: Any, maps: Tensor) -> list[str]:
        flat = (maps.amax(dim=(1, 2, 3)) == 0).tolist()
        if self.head == CLASS:
            return [FLAT_MAP if nothing else "" for nothing in flat]
        empty = (~(head_of(output, MASK) > 0).flatten(1).any(1)).tolist()
        return [NO_PIXEL if none else FLAT_MAP if nothing else "" for none, nothing in zip(empty, flat, strict=True)]


class _HeadScore(nn.Module):
    """What occlusion watches: the class probabilities (B, K), or the mean logit (B, 1) in a mask predicted before."""

    def __init__(self, network: nn.Module, region: Tensor | None) -> None:
        super().__init__()
        self.network, self.classes, self.region = network, ClassView(network), region
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        if self.region is None:
            return torch.softmax(self.classes(x), dim=1)
        return mean_inside(head_of(self.network(x), MASK), self.region)[:, None]
