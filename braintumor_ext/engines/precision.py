"""The arithmetic: mixed precision where the hardware has it, and what CUDA may trade for speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor

from braintumor_ext.flags import as_bool
from braintumor_ext.networks import cpu_has_bfloat16


def mixed_precision_supported(device: str | torch.device) -> bool:
    """Return whether mixed precision pays: on any CUDA device, and on a CPU that multiplies in bfloat16."""
    kind = torch.device(device).type
    return kind == "cuda" or (kind == "cpu" and cpu_has_bfloat16())


class MixedPrecisionInferer(SimpleInferer):
    """Run the network under bfloat16 autocast on a CPU; elsewhere, and when disabled, as it is.

    MONAI's engines know mixed precision on CUDA alone, by their ``amp`` and ``amp_kwargs``, which they take from here;
    bfloat16 has float32's range, so on a CPU no loss scaling is needed and the forward pass can hold all of it. The
    outputs are float32.

    Args:
        dtype: the type that CUDA computes in, ``float16`` or ``bfloat16``.
    """

    def __init__(self, enabled: bool | str = True, device: str | torch.device = "cpu", dtype: str = "float16") -> None:
        super().__init__()
        self.enabled = as_bool(enabled)
        self.amp = self.enabled and torch.device(device).type == "cuda"
        self.amp_kwargs = {"dtype": getattr(torch, dtype)}

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output, a tensor or a dictionary of tensors, of ``inputs`` (B, C, H, W)."""
        if not self.enabled or inputs.device.type != "cpu":
            return super().__call__(inputs, network, *args, **kwargs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = super().__call__(inputs, network, *args, **kwargs)
        return {name: value.float() for name, value in out.items()} if isinstance(out, dict) else out.float()


def set_cuda_options(tf32: bool | str = False, cudnn_benchmark: bool | str = False) -> None:
    """Choose the arithmetic of float32 and the convolutions' algorithms on CUDA, for the whole process.

    Args:
        tf32: let float32 products be rounded to TensorFloat-32's 11 significant bits, from Ampere on.
        cudnn_benchmark: let cuDNN try its algorithms on each new shape and take the fastest; two runs may then differ
            in the last digits. Otherwise it takes deterministic ones.
    """
    allowed, benchmark = as_bool(tf32), as_bool(cudnn_benchmark)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, not benchmark
