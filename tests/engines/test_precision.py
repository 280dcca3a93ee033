"""Mixed precision, and the choices on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from monai.data import Dataset
from torch import nn

from braintumor_ext.engines import MixedPrecisionInferer, SeedEachEpoch, mixed_precision_supported, set_cuda_options
from tests.engines.trainers import make_trainer


class Recorder(nn.Module):
    """A convolution that remembers the type that it computed in."""

    def __init__(self, several: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 2, 3)
        self.several = several
        self.dtype: torch.dtype | None = None

    def forward(self, x):
        out = self.conv(x)
        self.dtype = out.dtype
        return {"class": out.mean(dim=(2, 3)), "mask": out} if self.several else out


def test_disabled_it_computes_as_ever():
    network, x = Recorder(), torch.rand(1, 1, 8, 8)
    out = MixedPrecisionInferer(enabled="false")(x, network)
    assert network.dtype == torch.float32
    assert torch.equal(out, network.conv(x))


@pytest.mark.parametrize("several", [False, True])
def test_enabled_on_a_cpu_it_computes_in_bfloat16_and_predictions_in_float32(several):
    network, x = Recorder(several), torch.rand(1, 1, 8, 8)
    out = MixedPrecisionInferer(enabled=True)(x, network)
    assert network.dtype == torch.bfloat16
    outputs = out.values() if several else [out]
    assert all(value.dtype == torch.float32 for value in outputs)
    mask = out["mask"] if several else out
    # bfloat16 has 8 significant bits
    torch.testing.assert_close(mask, network.conv(x), rtol=2**-6, atol=2**-6)
    assert not torch.equal(mask, network.conv(x))


@pytest.mark.parametrize(
    ("enabled", "device", "on_cuda"), [(True, "cuda:1", True), ("false", "cuda", False), (True, "cpu", False)]
)
def test_monai_s_engines_compute_in_it_on_cuda_alone(enabled, device, on_cuda):
    inferer = MixedPrecisionInferer(enabled, device, "bfloat16")
    assert inferer.amp is on_cuda
    assert inferer.amp_kwargs == {"dtype": torch.bfloat16}


def test_gradients_reach_the_float32_weights():
    network = Recorder(several=True)
    out = MixedPrecisionInferer(enabled=True)(torch.rand(1, 1, 8, 8), network)
    (out["class"].sum() + out["mask"].sum()).backward()
    assert network.conv.weight.grad.dtype == torch.float32
    assert network.conv.weight.grad.abs().sum() > 0


def test_every_cuda_device_is_supported_and_other_accelerators_are_not():
    assert mixed_precision_supported("cuda:0")
    assert not mixed_precision_supported("meta")


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="the system does not list the processor's units")
def test_a_cpu_is_supported_that_multiplies_in_bfloat16():
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    assert mixed_precision_supported(torch.device("cpu")) == bool(flags & {"amx_tile", "avx512_bf16"})


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
