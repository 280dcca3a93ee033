"""Augmentation of a whole batch on the training's device: images and masks through one sampling grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import Randomizable
from torch import Tensor

from braintumor_ext.keys import UNKNOWN
from braintumor_ext.transforms.augment import draw_box

_BACKGROUND = 0.05  # of the grey range: darker pixels lie outside the head and stay dark when the contrast is inverted
_CACHED_PIXELS = 200_000  # of float32, and a few temporary copies: some megabytes
_BLUR_RADIUS = 3.0  # of a Gaussian's standard deviations


@dataclass(frozen=True)
class AugmentationDraw:
    """What :class:`BatchAugment` has drawn for a batch of B slices: arrays of length B.

    Shifts are in halves of the image's side, boxes in shares of it (top, left, bottom, right; empty: all 0), angles and
    shear in radians, ``noise`` and ``blur`` as standard deviations in grey values and in shares of the side. A value
    that changes nothing stands where a slice was not chosen.
    """

    flipped: np.ndarray
    angle: np.ndarray
    scale: np.ndarray
    aspect: np.ndarray
    shear: np.ndarray
    shift: np.ndarray  # (B, 2): x, y
    crop: np.ndarray
    crop_place: np.ndarray  # (B, 2) in [-1, 1]
    brightness: np.ndarray
    contrast: np.ndarray
    brightness_first: np.ndarray
    gamma: np.ndarray
    bias: np.ndarray  # (B, 2): x, y
    inverted: np.ndarray
    blur: np.ndarray
    resolution: np.ndarray
    noise: np.ndarray
    noise_seed: int
    box: np.ndarray  # (B, 4)

    def __getitem__(self, index: slice) -> AugmentationDraw:
        """Return the draw of some of the slices."""
        arrays = {f.name: v[index] for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)}
        return replace(self, **arrays)  # type: ignore[arg-type]


@dataclass(eq=False)
class BatchAugment(Randomizable):
    """Augment a batch of grey slices and their masks by tensor arithmetic, each slice by a draw of its own.

    The defaults are the published augmentation, the same in distribution as the dictionary transforms of
    ``configs/train.json``: a mirror image, a rotation, brightness and contrast in random order (as torchvision's
    ColorJitter), random erasing. The others are off by default. They are what another hospital's scanner does to a
    picture: another position and zoom, another grey curve, uneven coils, noise, blur, coarser pixels, another
    weighting, another field of view.

    Numbers are drawn from the generator that ``set_random_state`` seeds, on the CPU, whatever the device. Order: one
    geometric resampling (bilinear; the mask is 1 where its resampled value exceeds a half), resolution, blur,
    inversion, gamma, brightness and contrast, bias field, noise, erasing.

    What is drawn from a range, or within a width to both sides, is uniform unless something else is said; lengths are
    shares of the image's side.

    Raises:
        ValueError: when a probability is not within [0, 1], or a range is negative or out of order.

    Example::

        >>> augment = BatchAugment().set_random_state(seed=0)
        >>> images, masks = augment(images, masks)  # (B, 1, H, W) in [0, 1]; 0, 1, or -1 where unknown
    """

    flip: float = 0.5  # probability of mirroring left to right
    rotation: float = 15.0  # width of the angle in degrees
    scale: Sequence[float] = (1.0, 1.0)  # range of the zoom; above 1 the head grows
    aspect: float = 0.0  # width over height changes by a factor, log-uniform in [1 / (1 + aspect), 1 + aspect]
    shear: float = 0.0  # width of the shear's tangent
    shift: float = 0.0  # width of the displacement along each axis
    crop: float = 0.0  # probability that only a part of the field of view is kept, blown up to the full size
    crop_size: Sequence[float] = (0.6, 1.0)  # range of that part's side
    brightness: float = 0.2  # the factor is in [max(0, 1 - brightness), 1 + brightness]
    contrast: float = 0.2  # likewise; the image is blended with its mean grey
    gamma: float = 0.0  # grey values are raised to exp(g), of which this is the width of g
    bias_field: float = 0.0  # the image is multiplied by a plane, 1 in the middle, that rises to an edge by up to this
    invert: float = 0.0  # probability that the head's grey values are inverted; the dark background stays dark
    blur: float = 0.0  # probability of a Gaussian blur
    blur_size: Sequence[float] = (0.002, 0.008)  # range of its standard deviation
    low_resolution: float = 0.0  # probability that the image is sampled down and up again
    low_resolution_size: Sequence[float] = (0.4, 0.8)  # range of the coarse side
    noise: float = 0.0  # probability of Gaussian noise
    noise_size: Sequence[float] = (0.0, 0.05)  # range of its standard deviation in grey values
    erase: float = 0.5  # probability that a box is set to black, in the image alone: what was erased is still tumour
    erase_area: Sequence[float] = (0.02, 0.33)  # range of the box's share of the image
    erase_aspect: Sequence[float] = (0.3, 3.3)  # range of its height over its width, log-uniform

    def __post_init__(self) -> None:
        for name, least, most in (
            ("scale", 0.01, math.inf),
            ("crop_size", 0.01, 1.0),
            ("blur_size", 0.0, math.inf),
            ("low_resolution_size", 0.01, 1.0),
            ("noise_size", 0.0, math.inf),
            ("erase_area", 0.0, 1.0),
            ("erase_aspect", 1e-6, math.inf),
        ):
            low, high = bounds = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name} must be a rising range from at least {least:g} to at most {most:g}, got {list(bounds)}."
                )
        for name in ("flip", "crop", "invert", "blur", "low_resolution", "noise", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability and must lie in [0, 1], got {getattr(self, name)}.")
        for name in ("rotation", "aspect", "shear", "shift", "brightness", "contrast", "gamma", "bias_field"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")

    def randomize(self, data: tuple[int, int, int]) -> AugmentationDraw:  # type: ignore[override]
        """Return a new draw for (slices, height, width)."""
        count, height, width = data
        uniform = self.R.uniform

        def chosen(probability: float) -> np.ndarray:
            return uniform(size=count) < probability

        def within(bounds: Sequence[float]) -> np.ndarray:
            return uniform(bounds[0], bounds[1], size=count)

        def both_ways(limit: float, *shape: int) -> np.ndarray:
            return uniform(-limit, limit, size=(count, *shape))

        return AugmentationDraw(
            flipped=chosen(self.flip),
            angle=both_ways(math.radians(self.rotation)),
            scale=within(self.scale),
            aspect=np.exp(both_ways(math.log1p(self.aspect))),
            shear=both_ways(self.shear),
            shift=both_ways(2 * self.shift, 2),
            crop=np.where(chosen(self.crop), within(self.crop_size), 1.0),
            crop_place=both_ways(1.0, 2),
            brightness=within((max(0.0, 1 - self.brightness), 1 + self.brightness)),
            contrast=within((max(0.0, 1 - self.contrast), 1 + self.contrast)),
            brightness_first=chosen(0.5),
            gamma=np.exp(both_ways(self.gamma)),
            bias=both_ways(self.bias_field, 2),
            inverted=chosen(self.invert),
            blur=np.where(chosen(self.blur), within(self.blur_size), 0.0),
            resolution=np.where(chosen(self.low_resolution), within(self.low_resolution_size), 1.0),
            noise=np.where(chosen(self.noise), within(self.noise_size), 0.0),
            noise_seed=int(self.R.randint(2**31)),
            box=np.array([self._box(height, width) for _ in range(count)]).reshape(count, 4),
        )

    def _box(self, height: int, width: int) -> np.ndarray:
        """Draw the box to erase, in shares of the sides; zeros for none."""
        chosen = self.R.random() < self.erase
        box = draw_box(self.R, (height, width), self.erase_area, self.erase_aspect) if chosen else None
        return np.zeros(4) if box is None else np.array(box) / (height, width, height, width)

    def __call__(self, images: Tensor, masks: Tensor, draw: AugmentationDraw | None = None) -> tuple[Tensor, Tensor]:
        """Return the changed images and masks, new tensors of the same shapes, float32.

        Args:
            images: (B, 1, H, W), values in [0, 1].
            masks: (B, 1, H, W) of 0 and 1; -1 everywhere in a mask that is not known, which stays so.
            draw: what to do; a new draw by default.

        Raises:
            ValueError: when the shapes are others.
        """
        if images.ndim != 4 or images.shape[1] != 1 or images.shape != masks.shape:
            raise ValueError(
                f"images and masks must both be (B, 1, H, W), got {tuple(images.shape)} and {tuple(masks.shape)}."
            )
        count, _, height, width = images.shape
        if draw is None:
            draw = self.randomize((count, height, width))
        # A CPU is fastest on as many slices as its cache holds; a GPU on all at once.
        at_a_time = count if images.is_cuda else max(_CACHED_PIXELS // (height * width), 1)
        pieces = []
        for start in range(0, count, at_a_time):
            part = slice(start, start + at_a_time)
            moved, moved_masks = resample(images[part], masks[part], draw[part])
            pieces.append((change_values(moved, draw[part]), moved_masks))
        return torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces])


def resample(images: Tensor, masks: Tensor, draw: AugmentationDraw) -> tuple[Tensor, Tensor]:
    """Return images and masks (B, 1, H, W) moved by the geometric part of a draw; what lies outside is 0."""
    height, width = images.shape[2:]
    # One grid for both: the interpolation's weights are computed once, and a mask cannot come out of step.
    both = torch.cat([images.float(), masks.float()], dim=1)
    grid = sampling_grid(sampling_matrices(draw, height, width), height, width, images.device)
    moved = F.grid_sample(both, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved[:, :1], moved[:, 1:].gt_(0.5).masked_fill_(masks[:, :, :1, :1] < 0, float(UNKNOWN))


def sampling_grid(matrices: np.ndarray, height: int, width: int, device: torch.device) -> Tensor:
    """Return what ``affine_grid`` gives of (B, 2, 3) matrices, (B, H, W, 2), at a tenth of its time on a CPU."""
    theta = torch.from_numpy(matrices).to(device, non_blocking=True).view(-1, 2, 3, 1, 1)
    x = (torch.arange(width, device=device, dtype=torch.float32) * 2 + 1).div_(width).sub_(1)
    y = (torch.arange(height, device=device, dtype=torch.float32) * 2 + 1).div_(height).sub_(1).view(-1, 1)
    grid = torch.empty((len(matrices), height, width, 2), device=device)
    for axis in (0, 1):
        row = torch.addcmul(theta[:, axis, 2], theta[:, axis, 1], y)
        torch.addcmul(row, theta[:, axis, 0], x, out=grid[..., axis])
    return grid


def sampling_matrices(draw: AugmentationDraw, height: int, width: int) -> np.ndarray:
    """Return (B, 2, 3) float32 matrices from a place in the output to the one in the input, as grid_sample takes them.

    Both places are (x, y) with -1 and 1 at the image's edges.
    """
    cos, sin = np.cos(draw.angle), np.sin(draw.angle)
    zeros, ones = np.zeros_like(cos), np.ones_like(cos)

    def matrix(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.stack([np.stack([a, b], -1), np.stack([c, d], -1)], -2)

    # Rotation and shear are meant in pixels, which are square: the shorter side spans less than 2 of them.
    sides = np.array([width, height], dtype=np.float64) / max(height, width)
    mirror = np.where(draw.flipped, -1.0, 1.0)
    stretch = np.sqrt(draw.aspect)
    linear = (
        matrix(mirror, zeros, zeros, ones)
        @ matrix(cos, -sin, sin, cos)
        @ matrix(ones, draw.shear, zeros, ones)
        @ matrix(1 / (draw.scale * stretch), zeros, zeros, stretch / draw.scale)
    ) * draw.crop[:, None, None]
    linear = linear * sides[None, None, :] / sides[None, :, None]
    offset = draw.shift + (1 - draw.crop)[:, None] * draw.crop_place
    return np.concatenate([linear, offset[:, :, None]], axis=2).astype(np.float32)


def change_values(images: Tensor, draw: AugmentationDraw) -> Tensor:
    """Return images (B, 1, H, W) in [0, 1] changed by a draw's part that concerns grey values; may write in place."""
    height, width = images.shape[2:]

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(images.device, non_blocking=True).view(-1, 1, 1, 1)

    for index in np.flatnonzero(draw.resolution < 1):
        images[index] = _coarser(images[index : index + 1], float(draw.resolution[index]))[0]
    for index in np.flatnonzero(draw.blur):
        images[index] = _blurred(images[index : index + 1], float(draw.blur[index]) * max(height, width))[0]
    if draw.inverted.any():
        invert = column(draw.inverted) > 0
        images = torch.where(invert & (images > _BACKGROUND), 1 + _BACKGROUND - images, images)
    if (draw.gamma != 1).any():
        images = images.clamp_(min=0).pow_(column(draw.gamma))
    images = _brightness_and_contrast(images, column, draw)
    if draw.bias.any():
        down = torch.linspace(-1, 1, height, device=images.device).view(1, 1, height, 1)
        right = torch.linspace(-1, 1, width, device=images.device).view(1, 1, 1, width)
        images = images.mul_(1 + column(draw.bias[:, 0]) * right + column(draw.bias[:, 1]) * down).clamp_(0, 1)
    noisy = np.flatnonzero(draw.noise)
    if len(noisy):
        generator = torch.Generator(images.device).manual_seed(draw.noise_seed)
        shape = (len(noisy), 1, height, width)
        grain = torch.randn(shape, generator=generator, device=images.device).mul_(column(draw.noise[noisy]))
        chosen = torch.from_numpy(noisy).to(images.device)
        images[chosen] = grain.add_(images[chosen]).clamp_(0, 1)
    return _erase(images, draw)


def _brightness_and_contrast(images: Tensor, column: Callable[[np.ndarray], Tensor], draw: AugmentationDraw) -> Tensor:
    """Scale by the one, blend with the mean by the other, clip after each; in place."""
    first = draw.brightness_first
    if (draw.brightness == 1).all() and (draw.contrast == 1).all():
        return images
    steps = (
        (np.where(first, draw.brightness, draw.contrast), ~first),
        (np.where(first, draw.contrast, draw.brightness), first),
    )
    for factors, is_contrast in steps:
        towards_mean = images.mean(dim=(1, 2, 3), keepdim=True) * column(np.where(is_contrast, 1 - factors, 0.0))
        images = images.mul_(column(factors)).add_(towards_mean).clamp_(0, 1)
    return images


def _erase(images: Tensor, draw: AugmentationDraw) -> Tensor:
    height, width = images.shape[2:]
    pixels = np.rint(draw.box * [height, width, height, width]).astype(np.int64)
    for index in np.flatnonzero((pixels[:, 2] > pixels[:, 0]) & (pixels[:, 3] > pixels[:, 1])):
        top, left, bottom, right = pixels[index]
        images[index, :, top:bottom, left:right] = 0
    return images


def _coarser(image: Tensor, share: float) -> Tensor:
    """Return an image (1, 1, H, W) sampled down to a share of its size, and up again."""
    size = [image.shape[2], image.shape[3]]
    small = [max(round(side * share), 1) for side in size]
    coarse = F.interpolate(image, size=small, mode="bilinear", antialias=True)
    return F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Return an image (1, 1, H, W) convolved with a Gaussian of ``sigma`` pixels."""
    radius = max(math.ceil(_BLUR_RADIUS * sigma), 1)
    places = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    kernel = torch.softmax(-(places**2) / (2 * sigma**2), 0)
    rows = F.conv2d(image, kernel.view(1, 1, -1, 1), padding=(radius, 0))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, radius))
