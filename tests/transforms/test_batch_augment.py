"""Augmentation of batches: the published one in distribution, each change against another implementation of it."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tvf
from monai.transforms import RandRotate, Rotate
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp, kstest

from braintumor_ext.transforms import AugmentationDraw, BatchAugment, RandErase
from braintumor_ext.transforms.batch_augment import change_values, resample

SIZE = 64
NOTHING = {"flip": 0.0, "rotation": 0.0, "brightness": 0.0, "contrast": 0.0, "erase": 0.0}


def noise(count: int = 4, seed: int = 0, size: tuple[int, int] = (SIZE, SIZE)) -> torch.Tensor:
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(seed))


def block(count: int = 1, size: tuple[int, int] = (SIZE, SIZE)) -> torch.Tensor:
    """An L, which looks like none of its mirror images and turns."""
    shape = torch.zeros(count, 1, *size)
    shape[:, :, 16:48, 20:28] = 1
    shape[:, :, 40:48, 20:44] = 1
    return shape


def still(count: int = 1) -> AugmentationDraw:
    """The draw that changes nothing."""
    return BatchAugment(**NOTHING).randomize((count, SIZE, SIZE))


def with_value(count: int = 1, **changes: object) -> AugmentationDraw:
    """The draw that changes nothing but what is named, the same for all slices."""
    draw = still(count)
    made = {k: np.repeat(np.asarray(v, dtype=getattr(draw, k).dtype)[None], count, 0) for k, v in changes.items()}
    return replace(draw, **made)


def draws(augment: BatchAugment, count: int = 4000, size: int = 100) -> AugmentationDraw:
    return augment.set_random_state(seed=0).randomize((count, size, size))


def centroid(mask: torch.Tensor) -> tuple[float, float]:
    rows, columns = torch.where(mask[0, 0] > 0.5)
    return rows.float().mean().item(), columns.float().mean().item()


# --- the published augmentation, in both pipelines the same


def test_the_defaults_draw_what_the_dictionary_transforms_draw():
    count = 1500
    ours = draws(BatchAugment(), count)
    rotate = RandRotate(range_x=math.pi / 12, prob=1.0).set_random_state(seed=1)
    eraser = RandErase(0.5, (0.02, 0.33)).set_random_state(seed=1)
    angles, boxes = [], []
    for _ in range(count):
        rotate.randomize()
        eraser.randomize((100, 100))
        angles.append(rotate.x)
        boxes += [(y.start, x.start, y.stop - y.start, x.stop - x.start) for _, y, x in eraser.hole_coords]
    assert ks_2samp(ours.angle, angles).pvalue > 0.001
    for factors in (ours.brightness, ours.contrast):
        assert kstest(factors, "uniform", (0.8, 0.4)).pvalue > 0.001
    assert abs(ours.brightness_first.mean() - 0.5) < 0.06
    assert abs(ours.flipped.mean() - 0.5) < 0.05
    erased = ours.box[ours.box[:, 2] > 0] * 100
    assert abs(len(erased) - len(boxes)) < 0.06 * count
    their = np.array(boxes, dtype=float)
    sides = erased[:, 2:] - erased[:, :2]
    np.testing.assert_allclose(erased, np.rint(erased), atol=1e-9)  # whole pixels
    assert ks_2samp(sides[:, 0] * sides[:, 1], their[:, 2] * their[:, 3]).pvalue > 0.001
    assert ks_2samp(np.log(sides[:, 0] / sides[:, 1]), np.log(their[:, 2] / their[:, 3])).pvalue > 0.001
    for axis in (0, 1):
        assert ks_2samp(erased[:, axis], their[:, axis]).pvalue > 0.001


def test_the_defaults_change_nothing_else():
    ours = draws(BatchAugment(), 50)
    for name in ("scale", "aspect", "crop", "gamma", "resolution"):
        assert (getattr(ours, name) == 1).all(), name
    for name in ("shear", "shift", "bias", "inverted", "blur", "noise"):
        assert not getattr(ours, name).any(), name


@pytest.mark.parametrize("degrees", [-15.0, 4.0, 12.0])
def test_a_rotation_is_monai_s(degrees):
    image = torch.from_numpy(gaussian_filter(noise(1)[0, 0].numpy(), 3))[None, None]
    angle = math.radians(degrees)
    expected = Rotate(angle, mode="bilinear", padding_mode="zeros")(image[0]).as_tensor()[None]
    both = [resample(image, block(), with_value(angle=sign * angle))[0] for sign in (1, -1)]
    # the sense in which a positive angle turns does not matter for a distribution that is even
    assert min((found - expected).abs().max().item() for found in both) < 1e-4


def test_a_mirror_image_is_exact():
    image, mask = noise(), (noise(seed=1) > 0.5).float()
    moved, moved_mask = resample(image, mask, with_value(4, flipped=True))
    torch.testing.assert_close(moved, image.flip(-1), atol=1e-5, rtol=0)
    assert torch.equal(moved_mask, mask.flip(-1))


@pytest.mark.parametrize("first", [True, False])
def test_brightness_and_contrast_are_torchvision_s_in_either_order(first):
    image = noise()
    found = change_values(image.clone(), with_value(4, brightness=1.15, contrast=0.85, brightness_first=first))
    for one, expected in zip(found, image, strict=True):
        steps = [lambda x: tvf.adjust_brightness(x, 1.15), lambda x: tvf.adjust_contrast(x, 0.85)]
        for step in steps if first else reversed(steps):
            expected = step(expected)
        torch.testing.assert_close(one, expected)


def test_erasing_blackens_the_box_and_nothing_else():
    image = noise() + 0.1
    found = change_values(image.clone(), with_value(4, box=[8 / 64, 16 / 64, 24 / 64, 40 / 64]))
    expected = torch.stack([tvf.erase(one, 8, 16, 16, 24, torch.tensor(0.0)) for one in image])
    assert torch.equal(found, expected)


# --- image and mask


def test_image_and_mask_move_together_under_all_of_the_geometry():
    shape = block(32)
    augment = BatchAugment(
        flip=0.5,
        rotation=40,
        scale=(0.7, 1.3),
        aspect=0.2,
        shear=0.2,
        shift=0.1,
        crop=0.5,
        brightness=0,
        contrast=0,
        erase=0,
    ).set_random_state(seed=0)
    images, masks = augment(shape, shape)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(masks, (images > 0.5).float())
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 32  # each slice has its own draw
    assert not any(torch.equal(one, shape[0]) for one in masks)


def test_what_concerns_values_leaves_the_mask_alone():
    mask = (noise(8, seed=3) > 0.7).float()
    augment = BatchAugment(
        flip=0, rotation=0, gamma=0.4, bias_field=0.3, invert=0.5, blur=1, low_resolution=1, noise=1, erase=1
    ).set_random_state(seed=0)
    images, masks = augment(noise(8), mask)
    assert torch.equal(masks, mask)
    assert (images != noise(8)).flatten(1).any(dim=1).all()


def test_an_unknown_mask_stays_unknown():
    mask = block(3)
    mask[1] = -1
    _, masks = BatchAugment(scale=(0.5, 0.6)).set_random_state(seed=0)(noise(3), mask)
    assert (masks[1] == -1).all()
    assert {*masks[0].unique().tolist(), *masks[2].unique().tolist()} == {0.0, 1.0}


def test_values_stay_within_the_grey_range_and_the_input_is_not_written_to():
    image, mask = noise(8), block(8)
    before = image.clone(), mask.clone()
    augment = BatchAugment(gamma=0.5, bias_field=0.5, noise=1.0, noise_size=(0.1, 0.2), invert=0.5)
    images, _ = augment.set_random_state(seed=0)(image, mask)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    augment = BatchAugment(noise=1.0, gamma=0.3, scale=(0.8, 1.2))
    first, again, other = (augment.set_random_state(seed=s)(noise(), block(4)) for s in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_a_batch_larger_than_the_cache_is_what_its_slices_are_alone():
    augment = BatchAugment(noise=1.0, noise_size=(0.0, 0.0), blur=0.5, gamma=0.4, scale=(0.8, 1.2)).set_random_state(0)
    image, mask = noise(60, size=(96, 96)), (noise(60, 1, (96, 96)) > 0.5).float()
    draw = augment.randomize((60, 96, 96))
    images, masks = augment(image, mask, draw)
    for index in (0, 31, 59):
        part = slice(index, index + 1)
        alone = augment(image[part], mask[part], draw[part])
        torch.testing.assert_close(images[part], alone[0])
        assert torch.equal(masks[part], alone[1])


# --- each further change, by what it means


def test_scale_multiplies_the_area_by_its_square():
    area = [resample(block(), block(), with_value(scale=s))[1].sum().item() for s in (1.0, 0.5, 1.25)]
    assert area[1] == pytest.approx(area[0] * 0.25, rel=0.05)
    assert area[2] == pytest.approx(area[0] * 1.5625, rel=0.05)


def test_aspect_widens_and_flattens_at_equal_area():
    square = torch.zeros(1, 1, SIZE, SIZE)
    square[:, :, 22:42, 22:42] = 1
    moved = resample(square, square, with_value(aspect=1.44))[1][0, 0]
    assert moved.any(dim=0).sum().item() == pytest.approx(24, abs=1)  # 20 times 1.2 wide
    assert moved.any(dim=1).sum().item() == pytest.approx(20 / 1.2, abs=1)


def test_shear_moves_rows_against_each_other_by_its_tangent():
    line = torch.zeros(1, 1, SIZE, SIZE)
    line[:, :, :, 31:33] = 1
    moved = resample(line, line, with_value(shear=0.25))[0][0, 0]
    place = (moved * torch.arange(SIZE)).sum(1) / moved.sum(1)
    slope = (place[48] - place[16]) / 32
    assert abs(slope.item()) == pytest.approx(0.25, abs=0.01)


def test_shift_moves_by_a_share_of_the_side():
    before = centroid(block())
    after = centroid(resample(block(), block(), with_value(shift=[2 * 0.125, -2 * 0.0625]))[1])
    assert (before[0] - after[0], before[1] - after[1]) == pytest.approx((-4, 8), abs=0.01)


def test_a_crop_is_that_part_resized():
    image = torch.from_numpy(gaussian_filter(noise(1)[0, 0].numpy(), 3))[None, None]
    moved, _ = resample(image, block(), with_value(crop=0.5, crop_place=[-1.0, 1.0]))  # left, bottom
    expected = tvf.resize(image[:, :, 32:, :32], [SIZE, SIZE], antialias=False)
    torch.testing.assert_close(moved[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2], atol=1e-3, rtol=0)


def test_rotation_and_shear_keep_lengths_on_a_slice_that_is_not_square():
    disc = torch.zeros(1, 1, 64, 96)
    rows, columns = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(96) - 47.5, indexing="ij")
    disc[0, 0] = (rows**2 + columns**2 < 20**2).float()
    moved = resample(disc, disc, with_value(angle=0.6))[1]
    assert (moved - disc).abs().sum() < 0.04 * disc.sum()  # a disc stays one, but for its edge


def test_gamma_is_a_power():
    image = noise()
    torch.testing.assert_close(change_values(image.clone(), with_value(4, gamma=1.4)), image**1.4)


def test_the_bias_field_is_a_plane_that_is_one_in_the_middle():
    flat = torch.full((1, 1, 65, 65), 0.5)
    field = change_values(flat.clone(), with_value(bias=[0.2, -0.1]))[0, 0] / 0.5
    assert field[32, 32].item() == pytest.approx(1)
    assert field[32, 64].item() == pytest.approx(1.2)
    assert field[64, 32].item() == pytest.approx(0.9)
    assert field[0, 0].item() == pytest.approx(0.9)
    torch.testing.assert_close(field[:-1] - field[1:], torch.full((64, 65), 0.1 / 32), atol=1e-5, rtol=0)


def test_inversion_turns_the_head_s_contrast_and_leaves_the_background_dark():
    image = torch.tensor([0.0, 0.04, 0.1, 0.5, 0.9, 1.0]).view(1, 1, 1, 6)
    found = change_values(image.clone(), with_value(inverted=True))
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 0.04, 0.95, 0.55, 0.15, 0.05]))


def test_blur_is_scipy_s_gaussian():
    image = noise(1)
    found = change_values(image.clone(), with_value(blur=2 / SIZE))[0, 0]
    expected = gaussian_filter(image[0, 0].double().numpy(), 2, mode="constant", truncate=3.0)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_low_resolution_keeps_what_is_coarse_and_loses_what_is_fine():
    fine = (torch.arange(SIZE) % 2).float().expand(1, 1, SIZE, SIZE)
    coarse = torch.linspace(0, 1, SIZE).expand(1, 1, SIZE, SIZE)
    draw = with_value(resolution=0.5)
    assert change_values(fine.clone(), draw)[..., 4:-4].std() < 0.15 * fine.std()
    torch.testing.assert_close(change_values(coarse.clone(), draw)[..., 4:-4], coarse[..., 4:-4], atol=0.01, rtol=0)


def test_noise_has_the_drawn_deviation_and_is_not_the_same_everywhere():
    flat = torch.full((3, 1, SIZE, SIZE), 0.5)
    draw = replace(still(3), noise=np.array([0.0, 0.02, 0.05]), noise_seed=7)
    found = change_values(flat.clone(), draw) - 0.5
    assert found[0].abs().max() == 0
    assert [found[k].std().item() for k in (1, 2)] == pytest.approx([0.02, 0.05], rel=0.05)
    assert found.mean().abs() < 0.002


def test_the_further_draws_are_spread_over_their_ranges():
    augment = BatchAugment(
        scale=(0.8, 1.2),
        aspect=0.1,
        shear=0.1,
        shift=0.12,
        crop=0.3,
        crop_size=(0.5, 0.9),
        gamma=0.4,
        bias_field=0.2,
        invert=0.1,
        blur=0.2,
        low_resolution=0.25,
        noise=0.3,
    )
    ours = draws(augment)

    def uniform(values: np.ndarray, low: float, high: float) -> bool:
        return kstest(values.ravel(), "uniform", (low, high - low)).pvalue > 0.001

    assert uniform(ours.scale, 0.8, 1.2)
    assert uniform(np.log(ours.aspect), -math.log(1.1), math.log(1.1))
    assert uniform(ours.shear, -0.1, 0.1)
    assert uniform(ours.shift, -0.24, 0.24)  # of half a side
    assert uniform(np.log(ours.gamma), -0.4, 0.4)
    assert uniform(ours.bias, -0.2, 0.2)
    for values, nothing, share, bounds in (
        (ours.crop, 1, 0.3, (0.5, 0.9)),
        (ours.blur, 0, 0.2, augment.blur_size),
        (ours.resolution, 1, 0.25, augment.low_resolution_size),
        (ours.noise, 0, 0.3, augment.noise_size),
    ):
        chosen = values[values != nothing]
        assert abs(len(chosen) / len(values) - share) < 0.03
        assert uniform(chosen, *bounds)
    assert abs(ours.inverted.mean() - 0.1) < 0.02


def test_a_part_of_a_draw_holds_those_slices():
    part = draws(BatchAugment(noise=1.0), 10)[2:5]
    assert all(len(v) == 3 for f in fields(part) if isinstance(v := getattr(part, f.name), np.ndarray))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flip": 1.5}, "flip"),
        ({"noise": -0.1}, "noise"),
        ({"rotation": -1}, "rotation"),
        ({"scale": (1.2, 0.8)}, "scale"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"crop_size": (0.5, 1.5)}, "crop_size"),
        ({"erase_area": (0.2, 1.2)}, "erase_area"),
    ],
)
def test_senseless_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchAugment(**arguments)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 8, 8), (2, 1, 8, 9)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="must both be"):
        BatchAugment()(torch.zeros(shape), torch.zeros(2, 1, 8, 8))
