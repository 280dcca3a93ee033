"""How far two precisions' predictions are apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from braintumor_ext.calibration import PrecisionAgreement
from braintumor_ext.calibration.precision_agreement import mask_overlaps

GOOD = {"n": 400, "class_agreement": 1.0, "probability_difference": 0.004, "mask_dice": 0.996}


def test_its_figures_are_those_of_a_computation_by_hand():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.1, 0.0], [3.0, 0.0]])
    others = np.array([[2.2, 0.0], [0.0, 1.0], [0.0, 0.1], [3.0, 0.0]])
    found = PrecisionAgreement.of(logits, others, np.array([0.5, np.nan, 1.0, np.nan]), temperature=2.0)

    def sigmoid(x):  # of two classes the first one's probability, at temperature 2
        return 1 / (1 + math.exp(-x / 2))

    assert found.n == 4
    assert found.class_agreement == 3 / 4
    differences = [sigmoid(2.2) - sigmoid(2.0), 0, sigmoid(0.1) - sigmoid(-0.1), 0]
    assert found.probability_difference == pytest.approx(max(differences), abs=1e-12)
    assert found.mask_dice == 0.75  # slices without any mask say nothing


def test_masks_overlap_by_dice_and_two_empty_ones_by_nothing():
    one, other = torch.full((4, 1, 2, 4), -1.0), torch.full((4, 1, 2, 4), -1.0)
    one[0, 0, 0, :3] = 1  # 3 pixels
    other[0, 0, 0, 1:] = 1  # 3 pixels, 2 in common: 2 * 2 / 6
    one[1, 0, 0, 0] = 1  # against nothing
    other[2, 0, 0, 0] = 1
    np.testing.assert_allclose(mask_overlaps(one, other), [2 / 3, 0, 0, np.nan], rtol=1e-6)


def test_without_masks_the_classes_decide():
    logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    found = PrecisionAgreement.of(logits, logits, np.empty(0), 1.0)
    assert found.mask_dice is None
    assert found.holds


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"class_agreement": 398 / 400}, True),
        ({"class_agreement": 397 / 400}, False),
        ({"probability_difference": 0.01}, True),
        ({"probability_difference": 0.0101}, False),
        ({"probability_difference": float("nan")}, False),
        ({"mask_dice": 0.9901}, True),
        ({"mask_dice": 0.99}, False),
        ({"mask_dice": float("nan")}, False),
        ({"n": 0}, False),
    ],
)
def test_it_holds_within_the_limits(changes, holds):
    assert PrecisionAgreement(**{**GOOD, **changes}).holds is holds
