from __future__ import annotations

import math

import numpy as np
import pytest

from braintumor_ext.metrics import score_mask


def square(top: int, left: int, side: int, shape: tuple[int, int] = (24, 30)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def edge_points(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Pixels of the mask with a 4-neighbour outside it, in mm."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner) * np.array(spacing)


def brute_force_hd95(pred: np.ndarray, true: np.ndarray, spacing: tuple[float, float]) -> float:
    a, b = edge_points(pred, spacing), edge_points(true, spacing)
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return max(np.percentile(distances.min(1), 95), np.percentile(distances.min(0), 95))


def test_two_shifted_squares_score_as_computed_by_hand() -> None:
    # 6x6 squares, 2 columns apart: 36 pixels each, 24 shared. Dice 48/72, IoU 24/48. The nearest point of the other
    # square's edge is 2 pixels away for the whole outer side (6 of 20 edge pixels), so the 95th percentile is 2.
    scores = score_mask(square(4, 6, 6), square(4, 4, 6))
    assert scores.dice == pytest.approx(2 / 3)
    assert scores.iou == pytest.approx(1 / 2)
    assert (scores.hd95, scores.unit) == (pytest.approx(2.0), "px")


def test_distance_is_in_mm_along_the_axis_of_the_shift() -> None:
    true, right, down = square(4, 4, 6), square(4, 6, 6), square(6, 4, 6)
    spacing = (0.5, 3.0)  # a row is 0.5 mm high, a column 3 mm wide
    assert score_mask(down, true, spacing)[2:] == (pytest.approx(1.0), "mm")
    # To the right, the nearest point of the edge lies above or below: at most 2 columns (6 mm) away, at the corners
    # less in rows, so a brute-force search decides.
    assert score_mask(right, true, spacing).hd95 == pytest.approx(brute_force_hd95(right, true, spacing))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.667, 0.7), (2.0, 0.25)])
def test_distance_equals_a_brute_force_search_on_irregular_masks(spacing: tuple[float, float]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        pred = square(rng.integers(0, 12), rng.integers(0, 18), 9) | square(rng.integers(0, 18), rng.integers(0, 24), 5)
        true = square(rng.integers(0, 12), rng.integers(0, 18), 9) | square(rng.integers(0, 20), rng.integers(0, 26), 3)
        expected = brute_force_hd95(pred, true, spacing)
        assert score_mask(pred, true, spacing).hd95 == pytest.approx(expected, rel=1e-5)
        assert score_mask(true, pred, spacing).hd95 == pytest.approx(expected, rel=1e-5)


def test_equal_masks_agree_wholly() -> None:
    mask = square(0, 0, 7)  # touches the picture's rim
    assert score_mask(mask, mask, (1.0, 1.0)) == (1.0, 1.0, 0.0, "mm")


def test_a_missed_tumour_has_dice_0_and_no_distance() -> None:
    scores = score_mask(np.zeros((8, 8), bool), square(1, 1, 3, (8, 8)))
    assert (scores.dice, scores.iou) == (0.0, 0.0)
    assert math.isnan(scores.hd95)


def test_a_false_alarm_has_dice_0_and_no_distance() -> None:
    scores = score_mask(square(1, 1, 3, (8, 8)), np.zeros((8, 8), bool))
    assert (scores.dice, scores.iou) == (0.0, 0.0)
    assert math.isnan(scores.hd95)


def test_nothing_found_where_nothing_is_has_no_score() -> None:
    scores = score_mask(np.zeros((8, 8), bool), np.zeros((8, 8), bool))
    assert all(map(math.isnan, scores[:3]))


def test_unknown_spacing_is_measured_in_pixels() -> None:
    nan = float("nan")
    assert score_mask(square(4, 6, 6), square(4, 4, 6), (nan, nan))[2:] == (pytest.approx(2.0), "px")


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 8\) and \(8, 9\)"):
        score_mask(np.zeros((8, 8), bool), np.zeros((8, 9), bool))
