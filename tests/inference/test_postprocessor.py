from __future__ import annotations

import numpy as np
import pytest
import torch

from braintumor_ext.inference import class_probabilities, mask_on_grid


def test_probabilities_are_the_softmax_of_the_class_logits():
    logits = torch.tensor([[2.0, 0.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
    found = class_probabilities({"class": logits})
    exponentials = np.exp(logits.numpy().astype(np.float64))
    np.testing.assert_allclose(found, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-12)
    assert found.dtype == torch.float64


def test_probabilities_of_half_precision_and_huge_logits_still_sum_to_one():
    logits = torch.tensor([[200.0, -200.0, 3.0, 199.5]], dtype=torch.float16, requires_grad=True)
    found = class_probabilities({"class": logits})
    assert abs(float(found.sum()) - 1) < 1e-12
    assert not found.requires_grad


def half_pixel_bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation with pixel centres at (i + 0.5) / n, edges repeated, written out by hand."""

    def weights(size: int, wanted: int) -> np.ndarray:
        table = np.zeros((wanted, size))
        for k in range(wanted):
            position = min(max((k + 0.5) * size / wanted - 0.5, 0.0), size - 1.0)
            low = int(position)
            table[k, low] += 1 - (position - low)
            table[k, min(low + 1, size - 1)] += position - low
        return table

    return weights(values.shape[0], height) @ values @ weights(values.shape[1], width).T


@pytest.mark.parametrize("size", [(9, 7), (20, 31), (5, 40)])
def test_the_probability_is_brought_to_the_grid_before_it_is_cut(size):
    logits = torch.randn(3, 1, 9, 7, generator=torch.Generator().manual_seed(1)) * 3
    expected = half_pixel_bilinear(1 / (1 + np.exp(-logits[1, 0].double().numpy())), *size)
    found = mask_on_grid({"mask": logits}, 1, *size).numpy()
    sure = np.abs(expected - 0.5) > 1e-5  # float32 may fall on either side
    assert found.shape == size
    assert found.dtype == bool
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(found[sure], (expected > 0.5)[sure])


def test_a_threshold_keeps_what_is_more_probable():
    logits = torch.tensor([[[[-3.0, -1.0, 0.0, 1.0, 3.0]]]])  # probabilities 0.05, 0.27, 0.5, 0.73, 0.95
    assert mask_on_grid({"mask": logits}, 0, 1, 5).tolist() == [[False, False, False, True, True]]
    assert mask_on_grid({"mask": logits}, 0, 1, 5, threshold=0.9).tolist() == [[False, False, False, False, True]]
