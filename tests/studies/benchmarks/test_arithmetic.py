"""What is counted, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from studies.benchmarks.network import gflops
from studies.benchmarks.time_spent import REST, kind_of, shares


def test_a_multiply_add_is_two_operations_and_a_batch_counts_once():
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 10))
    by_hand = 2 * (3 * 16 * 9) * 64 + 2 * (16 * 64) * 10
    assert gflops(network, torch.zeros(4, 3, 8, 8)) == pytest.approx(by_hand / 1e9)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::convolution_backward", "convolution"),
        ("aten::native_batch_norm_backward", "normalisation"),
        ("aten::native_group_norm", "normalisation"),
        ("aten::addmm", "matrix product"),
        ("aten::mm", "matrix product"),
        ("aten::_to_copy", "copies between types and layouts"),
        ("aten::copy_", "copies between types and layouts"),
        ("aten::cat", "copies between types and layouts"),
        ("aten::upsample_nearest2d", "resizing"),
        ("aten::max_pool2d_with_indices", "pooling and means"),
        ("aten::mean", "pooling and means"),
        ("aten::_fused_adamw_", "update and clipping"),
        ("aten::_foreach_norm", "update and clipping"),
        ("aten::mul", REST),
        ("aten::threshold_backward", REST),
    ],
)
def test_operations_are_told_apart(operation, kind):
    assert kind_of(operation) == kind


def test_the_shares_of_a_call_are_of_its_time():
    images, weights = torch.randn(2, 8, 32, 32), torch.randn(8, 8, 3, 3)
    found = shares(lambda: torch.conv2d(images, weights), 2, torch.device("cpu"))
    for turn in range(2):
        assert sum(percents[turn] for percents in found.values()) == pytest.approx(100)
    assert min(found["convolution"]) > 50
