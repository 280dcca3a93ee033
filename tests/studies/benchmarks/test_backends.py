"""The benchmark of the backends measures by the arithmetic that the network needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from studies.benchmarks import backends


def test_a_multiplication_and_its_addition_count_as_two_operations():
    network = nn.Conv2d(3, 5, kernel_size=3, padding=1, bias=False)
    # 2 images of 8 x 6 pixels; each of 5 channels of each pixel sums 3 x 3 x 3 products
    assert backends.operations(network, torch.zeros(2, 3, 8, 6)) == 2 * (2 * 8 * 6 * 5 * 27)


def test_both_libraries_compute_the_product_that_is_the_limit():
    torch_product, numpy_product = (call() for call in backends.products(32).values())
    np.testing.assert_allclose(torch_product.numpy(), numpy_product, rtol=1e-4, atol=1e-4)


def test_each_row_is_measured_by_the_limit_and_by_eager_pytorch(monkeypatch):
    monkeypatch.setattr(backends, "BACKENDS", {})  # the exports are slow, and tested by themselves
    monkeypatch.setattr(backends, "keep_freed_memory", bool)  # it could not be taken back
    threads = torch.get_num_threads()
    try:
        (found,) = backends.run(quick=True)
    finally:
        torch.set_num_threads(threads)
    eager = found.rows[0]
    assert eager.labels == ["eager", 1, 2]
    assert eager.measures["over eager"] == pytest.approx([1, 1, 1])
    for row in found.rows:
        assert all(ratio > 0 for ratio in row.measures["over the limit"])
        limits = np.divide(row.measures["ms a slice"], row.measures["over the limit"])
        np.testing.assert_allclose(
            limits, np.divide(eager.measures["ms a slice"], eager.measures["over the limit"])
        )  # one limit for all
