"""Random changes of an image's values, drawn as torchvision draws them, from the generator that MONAI governs.

MONAI's `RandTorchVisiond` runs torchvision's ColorJitter and RandomErasing on torch's global generator, so that
``Compose.set_random_state(seed)`` does not reproduce them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from monai.config import KeysCollection
from monai.transforms import (
    Compose,
    OneOf,
    RandCoarseDropout,
    RandCoarseDropoutd,
    RandomizableTransform,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
    ScaleIntensityRanged,
)


class RandBrightnessContrastd(OneOf):
    """Change brightness and contrast in random order, as torchvision's ``ColorJitter(brightness, contrast)``.

    Brightness multiplies the image; contrast blends it with its mean; both clip to [0, 1]. All keys get the same draw.

    Args:
        keys: the grey images, (1, H, W) in [0, 1].
        brightness: the factor is uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: likewise for contrast.
        allow_missing_keys: whether an item may lack one of the keys.

    Raises:
        ValueError: if a width is negative.
    """

    def __init__(
        self, keys: KeysCollection, brightness: float = 0.2, contrast: float = 0.2, allow_missing_keys: bool = False
    ) -> None:
        if brightness < 0 or contrast < 0:
            raise ValueError(f"brightness and contrast must not be negative, got {brightness} and {contrast}")
        may_miss = allow_missing_keys
        clip = ScaleIntensityRanged(keys, 0, 1, 0, 1, clip=True, allow_missing_keys=may_miss)
        brighten, spread = (
            scale(keys, (max(-1, -width), width), prob=1, allow_missing_keys=may_miss)
            for scale, width in ((RandScaleIntensityd, brightness), (RandScaleIntensityFixedMeand, contrast))
        )
        super().__init__([Compose([brighten, clip, spread, clip]), Compose([spread, clip, brighten, clip])])


def draw_box(
    random: np.random.RandomState, size: Sequence[int], area: Sequence[float], aspect: Sequence[float]
) -> tuple[int, int, int, int] | None:
    """Draw a box in an image of (H, W) pixels as torchvision's ``RandomErasing`` does: top, left, bottom, right.

    ``area`` and ``aspect`` are those of `RandErase`; None where none of ten draws fits.
    """
    height, width = size
    for _ in range(10):
        pixels = height * width * random.uniform(area[0], area[1])
        ratio = math.exp(random.uniform(math.log(aspect[0]), math.log(aspect[1])))
        h, w = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if h < height and w < width:
            top, left = int(random.randint(height - h + 1)), int(random.randint(width - w + 1))
            return top, left, top + h, left + w
    return None


class RandErase(RandCoarseDropout):
    """Erase one random box of an image (C, H, W), as torchvision's ``RandomErasing(prob, area, aspect, value=0)``.

    Zhong et al., Random Erasing Data Augmentation, https://arxiv.org/abs/1708.04896. An image that no box fits stays
    as it is.

    Args:
        prob: probability that an image is changed.
        area: range of the box's share of the image; uniform.
        aspect: range of the box's height divided by its width; log-uniform.

    Raises:
        ValueError: if a range is out of order, or the area not within [0, 1].
    """

    def __init__(
        self, prob: float = 0.5, area: Sequence[float] = (0.02, 0.33), aspect: Sequence[float] = (0.3, 3.3)
    ) -> None:
        super().__init__(holes=1, spatial_size=1, fill_value=0.0, prob=prob)
        if not (0 <= area[0] <= area[1] <= 1 and 0 < aspect[0] <= aspect[1]):
            raise ValueError(f"area must be a range within [0, 1] and aspect a positive range, got {area} and {aspect}")
        self.area, self.aspect = area, aspect

    def randomize(self, img_size: Sequence[int]) -> None:
        """Draw whether to change the next image of (H, W) pixels, and the box."""
        RandomizableTransform.randomize(self, None)
        box = draw_box(self.R, img_size, self.area, self.aspect) if self._do_transform else None
        self.hole_coords = [] if box is None else [(slice(None), slice(*box[::2]), slice(*box[1::2]))]

    def _transform_holes(self, img: np.ndarray) -> np.ndarray:
        return super()._transform_holes(img.copy())  # which would write into the input


class RandErased(RandCoarseDropoutd):
    """Dictionary form of `RandErase`; all keys get the same box, so they must have one size.

    Not for the mask: what was erased is still tumour.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        area: Sequence[float] = (0.02, 0.33),
        aspect: Sequence[float] = (0.3, 3.3),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, holes=1, spatial_size=1, prob=prob, allow_missing_keys=allow_missing_keys)
        self.dropper = RandErase(1.0, area, aspect)
