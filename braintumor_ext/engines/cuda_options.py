"""What CUDA may trade for speed."""

from __future__ import annotations

import torch

from braintumor_ext.flags import as_bool


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
