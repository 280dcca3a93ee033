from __future__ import annotations

import numpy as np
import pytest
import torch

from braintumor_ext.inference import heat_map_on_grid
from braintumor_ext.saliency_metrics.map_scores import (
    THRESHOLDS,
    best_threshold,
    energy_share,
    ious,
    pointing_game,
    score_map,
)


def box(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[rows, columns] = True
    return mask


def peak(height: int, width: int, *places: tuple[int, int]) -> np.ndarray:
    heat = np.zeros((height, width), dtype=np.float32)
    for place in places:
        heat[place] = 1.0
    return heat


# --- pointing game


@pytest.mark.parametrize("seed", range(5))
def test_the_pointing_game_is_a_brute_force_search_for_the_nearest_pixel_of_the_mask(seed: int) -> None:
    draw = np.random.default_rng(seed)
    mask = draw.random((23, 31)) > 0.995
    mask[draw.integers(23), draw.integers(31)] = True
    heat = draw.random((23, 31))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    nearest = min(np.hypot(row - r, column - c) for r, c in np.argwhere(mask))
    tolerances = [0, nearest - 1e-6, nearest, 5, 15]
    assert pointing_game(heat, mask, tolerances) == [float(nearest <= tolerance) for tolerance in tolerances]


def test_a_maximum_15_pixels_off_hits_within_the_tolerance_and_one_16_off_misses() -> None:
    mask = box(40, 40, slice(5, 10), slice(5, 10))
    assert pointing_game(peak(40, 40, (9, 24)), mask) == [0.0, 1.0]
    assert pointing_game(peak(40, 40, (9, 25)), mask) == [0.0, 0.0]
    # diagonally: 12 rows and 9 columns are 15 pixels, 12 and 10 are more
    assert pointing_game(peak(40, 40, (21, 18)), mask) == [0.0, 1.0]
    assert pointing_game(peak(40, 40, (21, 19)), mask) == [0.0, 0.0]


def test_equal_maxima_count_by_the_share_of_them_that_hits() -> None:
    mask = box(40, 40, slice(0, 2), slice(0, 2))
    heat = peak(40, 40, (0, 0), (1, 1), (10, 0), (39, 39))
    heat[5, 5] = 0.999  # no maximum
    assert pointing_game(heat, mask) == [0.5, 0.75]


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_map_of_one_value_points_nowhere(value: float) -> None:
    assert pointing_game(np.full((9, 9), value), np.ones((9, 9), dtype=bool)) == [0.0, 0.0]


# --- energy, IoU


def test_energy_is_counted_by_hand_and_that_of_an_even_map_is_the_area() -> None:
    mask = box(4, 5, slice(0, 2), slice(0, 2))
    heat = np.zeros((4, 5))
    heat[0, 0], heat[1, 1], heat[3, 4] = 0.5, 0.25, 0.75  # 0.75 of 1.5
    assert energy_share(heat, mask) == pytest.approx(0.5)
    even = score_map(np.full((4, 5), 0.7), mask)
    assert even.energy_share == pytest.approx(4 / 20)  # the share of the slice that the mask covers


def test_iou_at_each_threshold_is_counted_by_hand() -> None:
    mask = box(1, 6, slice(0, 1), slice(0, 3))
    heat = np.array([[0.2, 0.5, 0.9, 0.9, 0.4, 0.0]])
    assert ious(heat, mask, [0.1, 0.4, 0.5, 0.95]) == pytest.approx([3 / 5, 2 / 4, 1 / 4, 0.0])


def test_an_empty_map_has_the_worst_scores() -> None:
    scores = score_map(np.zeros((6, 6)), box(6, 6, slice(0, 3), slice(0, 6)))
    assert scores == (0.0, 0.0, 0.0, 0.0)


def test_the_mask_itself_has_the_best_scores() -> None:
    mask = box(8, 8, slice(2, 5), slice(2, 5))
    scores = score_map(mask.astype(np.float32), mask)
    assert scores == (1.0, 1.0, 1.0, 1.0)


def test_the_best_threshold_has_the_highest_mean_and_is_the_lowest_of_equal_ones() -> None:
    # Each slice alone has another best threshold; their mean is best at the second and the third.
    values = np.array([[0.9, 0.6, 0.6, 0.0], [0.0, 0.6, 0.6, 0.9]])
    assert best_threshold(values, [0.1, 0.2, 0.3, 0.4]) == (0.2, pytest.approx(0.6))
    assert THRESHOLDS[0] == 0.05
    assert THRESHOLDS[-1] == 0.95


# --- grids and refusals


def test_a_map_is_brought_to_the_slices_grid_by_pixel_areas() -> None:
    # A ramp along the columns stays one: the centre of own pixel j lies at (j + 0.5) / 2 - 0.5 network pixels.
    ramp = torch.arange(8).float().expand(4, 8) / 7
    found = heat_map_on_grid(ramp[None, None], 0, 12, 16)
    expected = np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7) / 7
    assert found.shape == (12, 16)
    assert np.allclose(found, expected[None], atol=1e-6)


@pytest.mark.parametrize(
    ("heat", "mask", "message"),
    [
        (np.zeros((3, 4)), np.ones((4, 3)), "of one shape"),
        (np.zeros((3, 4)), np.zeros((3, 4)), "the mask is empty"),
        (np.full((3, 4), 1.5), np.ones((3, 4)), r"not in \[0, 1\]"),
        (np.full((3, 4), np.nan), np.ones((3, 4)), r"not in \[0, 1\]"),
    ],
)
def test_what_cannot_be_scored_is_refused(heat: np.ndarray, mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_map(heat, mask)
