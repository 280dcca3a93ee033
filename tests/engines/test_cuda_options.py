"""What CUDA may trade for speed; the settings exist on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from monai.data import Dataset

from braintumor_ext.engines import SeedEachEpoch, set_cuda_options
from tests.engines.trainers import make_trainer


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.parametrize("choice", [False, True, "true", "false"])
def test_products_are_rounded_as_told(choice):
    set_cuda_options(tf32=choice)
    expected = choice in (True, "true")
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == expected


@pytest.mark.parametrize("benchmark", [False, True])
def test_the_choice_of_algorithms_outlives_the_seeding_of_each_epoch(benchmark):
    set_cuda_options(cudnn_benchmark=benchmark)
    make_trainer([SeedEachEpoch(0, Dataset([]))], 2).run()
    assert torch.backends.cudnn.benchmark == benchmark
    assert torch.backends.cudnn.deterministic != benchmark
