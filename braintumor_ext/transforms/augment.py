"""Random changes of an image's values that MONAI's ``set_random_state`` governs.

MONAI's `RandTorchVisiond` runs torchvision's ColorJitter and RandomErasing on torch's global generator, so that
``Compose.set_random_state(seed)`` does not reproduce them. These have the same distributions, drawn from the
transform's own generator. For flips and rotations MONAI's `RandFlipd` and `RandRotated` do as they are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torchvision.transforms.functional as tvf
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

_ERASE_ATTEMPTS = 10  # as torchvision's RandomErasing: boxes that do not fit are drawn again this often
_CHANNELS = (1, 3)  # what torchvision's adjust_contrast takes a mean grey of


class RandBrightnessContrast(RandomizableTransform):
    """Change brightness and contrast in random order, as torchvision's ``ColorJitter(brightness, contrast)``.

    Brightness multiplies the image; contrast blends it with the mean of its grey; both clip to [0, 1].

    Args:
        brightness: the factor is uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: likewise for contrast.
        prob: probability that an image is changed.

    Raises:
        ValueError: if a width is negative.
    """

    def __init__(self, brightness: float = 0.2, contrast: float = 0.2, prob: float = 1.0) -> None:
        super().__init__(prob)
        if brightness < 0 or contrast < 0:
            raise ValueError(f"brightness and contrast must not be negative, got {brightness} and {contrast}")
        self.brightness, self.contrast = brightness, contrast
        self.brightness_factor, self.contrast_factor, self.brightness_first = 1.0, 1.0, True

    def randomize(self, data: Any = None) -> None:
        """Draw whether to change the next image, by which factors and in which order."""
        super().randomize(None)
        if not self._do_transform:
            return
        self.brightness_factor = self.R.uniform(max(0.0, 1 - self.brightness), 1 + self.brightness)
        self.contrast_factor = self.R.uniform(max(0.0, 1 - self.contrast), 1 + self.contrast)
        self.brightness_first = bool(self.R.random() < 0.5)

    def __call__(self, img: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        """Return the changed image.

        Args:
            img: (1, H, W) or (3, H, W), values in [0, 1].
            randomize: False repeats the last draw.

        Raises:
            ValueError: if the image has neither 1 nor 3 channels.
        """
        if randomize:
            self.randomize()
        if not self._do_transform:
            return img
        if img.shape[0] not in _CHANNELS:
            raise ValueError(f"the image must have 1 or 3 channels, got shape {tuple(img.shape)}")
        values = _plain(img)
        steps = [(tvf.adjust_brightness, self.brightness_factor), (tvf.adjust_contrast, self.contrast_factor)]
        for adjust, factor in steps if self.brightness_first else reversed(steps):
            values = adjust(values, factor)
        return _like(values, img)


class RandBrightnessContrastd(RandomizableTransform, MapTransform):
    """Dictionary form of `RandBrightnessContrast`; all keys get the same draw.

    Args:
        keys: the images.
        brightness: as in `RandBrightnessContrast`.
        contrast: as in `RandBrightnessContrast`.
        prob: as in `RandBrightnessContrast`.
        allow_missing_keys: whether an item may lack one of the keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        brightness: float = 0.2,
        contrast: float = 0.2,
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.jitter = RandBrightnessContrast(brightness, contrast, prob)

    def set_random_state(self, seed: int | None = None, state: Any = None) -> RandBrightnessContrastd:
        """Seed the generator that the factors are drawn from."""
        super().set_random_state(seed, state)
        self.jitter.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images changed."""
        item = dict(data)
        self.jitter.randomize()
        for key in self.key_iterator(item):
            item[key] = self.jitter(item[key], randomize=False)
        return item


class RandErase(RandomizableTransform):
    """Erase one random box of an image, as torchvision's ``RandomErasing(prob, area, aspect, value)``.

    Zhong et al., Random Erasing Data Augmentation, https://arxiv.org/abs/1708.04896.

    Args:
        prob: probability that an image is changed.
        area: range of the box's share of the image; uniform.
        aspect: range of the box's height divided by its width; log-uniform.
        value: what the box is filled with.

    Raises:
        ValueError: if a range is out of order, or the area not within [0, 1].
    """

    def __init__(
        self,
        prob: float = 0.5,
        area: tuple[float, float] = (0.02, 0.33),
        aspect: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        super().__init__(prob)
        if not (0 <= area[0] <= area[1] <= 1 and 0 < aspect[0] <= aspect[1]):
            raise ValueError(f"area must be a range within [0, 1] and aspect a positive range, got {area} and {aspect}")
        self.area, self.aspect, self.value = area, aspect, value
        self.box: tuple[int, int, int, int] | None = None

    def randomize(self, data: tuple[int, int]) -> None:
        """Draw whether to change the next image, and the box.

        Args:
            data: (H, W) of the image.
        """
        super().randomize(None)
        self.box = None
        if not self._do_transform:
            return
        height, width = data
        for _ in range(_ERASE_ATTEMPTS):
            area = height * width * self.R.uniform(*self.area)
            aspect = math.exp(self.R.uniform(math.log(self.aspect[0]), math.log(self.aspect[1])))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < height and w < width:
                self.box = (int(self.R.randint(0, height - h + 1)), int(self.R.randint(0, width - w + 1)), h, w)
                return

    def __call__(self, img: torch.Tensor, randomize: bool = True) -> torch.Tensor:
        """Return the image with the box erased; one that no box fitted stays as it is.

        Args:
            img: (C, H, W).
            randomize: False repeats the last draw.
        """
        if randomize:
            self.randomize((img.shape[1], img.shape[2]))
        if self.box is None:
            return img
        top, left, height, width = self.box
        return _like(tvf.erase(_plain(img), top, left, height, width, torch.tensor(self.value)), img)


class RandErased(RandomizableTransform, MapTransform):
    """Dictionary form of `RandErase`; all keys get the same box, so they must have one size.

    Args:
        keys: the images; not the mask: what was erased is still tumour.
        prob: as in `RandErase`.
        area: as in `RandErase`.
        aspect: as in `RandErase`.
        value: as in `RandErase`.
        allow_missing_keys: whether an item may lack one of the keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        area: tuple[float, float] = (0.02, 0.33),
        aspect: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.eraser = RandErase(prob, area, aspect, value)

    def set_random_state(self, seed: int | None = None, state: Any = None) -> RandErased:
        """Seed the generator that the box is drawn from."""
        super().set_random_state(seed, state)
        self.eraser.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images changed."""
        item = dict(data)
        first = self.first_key(item)
        if first == ():  # none of the keys is there
            return item
        self.eraser.randomize((item[first].shape[1], item[first].shape[2]))
        for key in self.key_iterator(item):
            item[key] = self.eraser(item[key], randomize=False)
        return item


def _plain(img: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(img).as_subclass(torch.Tensor)


def _like(values: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
    if isinstance(img, MetaTensor):
        return MetaTensor(values, meta=img.meta, applied_operations=img.applied_operations)
    return values
