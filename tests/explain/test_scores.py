"""Maps in [0, 1]."""

from __future__ import annotations

import torch

from braintumor_ext.explain import to_unit_range


def test_each_map_by_itself():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]], [[[-4.0, 0.0], [0.0, 4.0]]]])
    expected = torch.tensor([[[[0.0, 0.25], [0.5, 1.0]]], [[[0.0, 0.5], [0.5, 1.0]]]])
    torch.testing.assert_close(to_unit_range(maps), expected)


def test_a_constant_map_becomes_zero():
    for value in (0.0, 7.0, -3.0):
        assert to_unit_range(torch.full((1, 1, 3, 3), value)).abs().max() == 0


def test_rounding_is_no_map():
    maps = torch.full((1, 1, 4, 4), 5.0)
    maps[..., 0, 0] += 1e-6
    assert to_unit_range(maps).max() == 0


def test_a_faint_map_is_one():
    """Gradients of a confident prediction are tiny: only what is tiny beside the map itself is rounding."""
    maps = torch.zeros(1, 1, 4, 4)
    maps[..., 1, 2] = 1e-20
    assert to_unit_range(maps)[..., 1, 2] == 1


def test_half_precision_becomes_float32_and_nan_becomes_zero():
    maps = torch.tensor([[[[float("nan"), 1.0], [2.0, 4.0]]]], dtype=torch.float16)
    found = to_unit_range(maps)
    assert found.dtype == torch.float32
    assert found.flatten().tolist() == [0, 0.25, 0.5, 1]
