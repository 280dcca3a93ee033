from __future__ import annotations

import numpy as np
import pytest
from monai.visualize import blend_images
from PIL import ImageColor
from scipy.ndimage import binary_dilation, binary_erosion

from braintumor_ext.visualize.panels import (
    HEAT_COLOURS,
    HEAT_OPACITY,
    ON_HEAT,
    PREDICTED,
    TRUE,
    draw_panels,
    heat_over,
)


def of_colour(pixels: np.ndarray, colour: str) -> np.ndarray:
    return (pixels == ImageColor.getrgb(colour)).all(-1)


def blobs(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """A mask of several parts, some at the rim."""
    centres = np.random.default_rng(seed).random((6, 2)) * shape
    rows, columns = np.indices(shape)
    return np.any([(rows - y) ** 2 + (columns - x) ** 2 < 7**2 for y, x in centres], axis=0)


@pytest.mark.parametrize("mask", [blobs(0, (60, 80)), blobs(1, (60, 80)), np.ones((60, 80), bool), np.eye(60, 80) > 0])
def test_lines_and_rims_are_those_of_scipys_morphology(mask: np.ndarray) -> None:
    image = np.full(mask.shape, 0.8)
    plain, outlined, heated = draw_panels(image, mask, None, np.zeros(mask.shape), mask.shape[::-1])
    line = mask & ~binary_erosion(mask, iterations=2)
    rim = binary_dilation(line) & ~line
    for panel, colour in ((outlined, PREDICTED), (heated, ON_HEAT)):
        np.testing.assert_array_equal(of_colour(panel, colour), line)
        assert (panel[rim] == 204 // 3).all()
        np.testing.assert_array_equal(panel[~line & ~rim], plain[~line & ~rim])


def test_a_true_mask_is_dashed_where_the_predicted_one_is_a_line() -> None:
    mask = blobs(2, (60, 80))
    drawn = draw_panels(np.zeros(mask.shape), np.zeros_like(mask), mask, None, mask.shape[::-1])[1]
    dashes = of_colour(drawn, TRUE)
    line = mask & ~binary_erosion(mask, iterations=2)
    assert not (dashes & ~line).any()
    assert 0.3 < dashes.sum() / line.sum() < 0.7


def test_heat_is_blended_as_monai_blends_it() -> None:
    rng = np.random.default_rng(0)
    grey, heat = (rng.integers(0, 256, (40, 50), dtype=np.uint8) for _ in range(2))
    unit, share = grey[None] / np.float32(255), heat[None] / np.float32(255)
    expected = blend_images(unit, share, HEAT_OPACITY * share, HEAT_COLOURS, rescale_arrays=False)
    np.testing.assert_allclose(heat_over(grey, heat), np.moveaxis(np.asarray(expected) * 255, 0, -1), atol=0.51)


def test_nothing_is_drawn_of_an_empty_mask() -> None:
    image = np.random.default_rng(0).random((30, 20))
    plain, outlined = draw_panels(image, image > 1, None, None, (20, 30))
    np.testing.assert_array_equal(plain, outlined)
