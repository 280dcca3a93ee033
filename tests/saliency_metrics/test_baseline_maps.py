from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from braintumor_ext.saliency_metrics.baseline_maps import centre_maps, random_maps


def ellipse(height: int, width: int, centre: tuple[float, float], half_axes: tuple[float, float]) -> Tensor:
    """A bright head on a dark ground, (1, 3, H, W)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = ((rows - centre[0]) / half_axes[0]) ** 2 + ((columns - centre[1]) / half_axes[1]) ** 2 <= 1
    return inside.float().expand(1, 3, height, width) * 0.6 - 1.5


def test_both_baselines_lie_in_0_to_1_and_reach_both() -> None:
    for maps in (random_maps([1, 2, 3], (64, 48), (2, 2)), centre_maps(torch.rand(3, 3, 64, 48))):
        assert maps.shape == (3, 1, 64, 48)
        assert torch.equal(maps.amax(dim=(1, 2, 3)), torch.ones(3))
        assert torch.equal(maps.amin(dim=(1, 2, 3)), torch.zeros(3))


def test_an_images_noise_is_its_own_alone_and_in_any_batch() -> None:
    together = random_maps([7, 8], (32, 32), (4, 4))
    assert torch.equal(together[1:], random_maps([8], (32, 32), (4, 4)))
    assert not torch.equal(together[0], together[1])


def test_noise_is_as_coarse_as_the_layer() -> None:
    # Four times as many cells along each side: neighbouring pixels differ about four times as much.
    steps = [random_maps(range(20), (64, 64), (n, n)).diff(dim=3).abs().mean().item() for n in (4, 16)]
    assert steps[1] > 3 * steps[0]


def test_noise_points_everywhere_equally_often() -> None:
    # Share of maxima in the left half, over 400 images: 0.5 with a standard error of 0.025.
    maps = random_maps(range(400), (24, 24), (3, 4))
    left = (maps.flatten(1).argmax(dim=1) % 24 < 12).float().mean().item()
    assert left == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("centre", "half_axes"), [((40, 60), (30, 20)), ((55, 50), (25, 40))])
def test_the_centre_map_is_a_gaussian_about_the_head_with_half_its_half_axes(
    centre: tuple[float, float], half_axes: tuple[float, float]
) -> None:
    heat = centre_maps(ellipse(100, 110, centre, half_axes))[0, 0].numpy().astype(float)
    assert np.unravel_index(heat.argmax(), heat.shape) == centre
    # At one half-axis the Gaussian has fallen to exp(-2), but for the tail that scaling to [0, 1] takes off.
    down, right = int(centre[0] + half_axes[0]), int(centre[1] + half_axes[1])
    assert heat[down, int(centre[1])] == pytest.approx(np.exp(-2), abs=0.02)
    assert heat[int(centre[0]), right] == pytest.approx(np.exp(-2), abs=0.02)


def test_the_centre_map_does_not_depend_on_brightness_and_contrast() -> None:
    x = ellipse(64, 64, (30, 35), (20, 15))
    assert torch.allclose(centre_maps(x), centre_maps(3 * x + 7), atol=1e-6)


def test_a_slice_of_one_value_has_its_centre_in_the_middle() -> None:
    heat = centre_maps(torch.full((1, 3, 33, 21), 0.4))[0, 0]
    assert divmod(int(heat.argmax()), 21) == (16, 10)
