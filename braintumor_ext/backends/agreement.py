"""How far an exported network's predictions are from eager PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from braintumor_ext.backends.heads_and_features import OUTPUTS
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.keys import CLASS

BATCH = 8

LIMIT = 1e-4
"""The largest difference that an export may have."""


@dataclass(frozen=True)
class Agreement:
    """The differences of two networks' outputs over the same slices.

    Args:
        differences: output name to the largest absolute difference, over the largest absolute eager value.
        same_class: share of the slices, in [0, 1], that get the same class.
    """

    slices: int
    source: str
    differences: Mapping[str, float]
    same_class: float

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None if it is good."""
        far = [f"{name} {value:.1e}" for name, value in self.differences.items() if not value < LIMIT]  # NaN is far too
        if far:
            return f"differs from eager PyTorch by {', '.join(far)} (less than {LIMIT:.0e} is asked for)"
        if self.same_class < 1:
            return f"gives the same class as eager PyTorch for only {self.same_class:.1%} of {self.slices} slices"
        return None


def compare(network: nn.Module, exported: nn.Module, images: Tensor, source: str) -> Agreement:
    """Run both networks on the same images, preprocessed slices (N, C, H, W), in float32 on the CPU.

    Args:
        network: the eager network, as inference runs it.
        exported: gives ``class``, ``mask`` and ``features``.
        source: where the slices come from.
    """
    batches = images.split(BATCH)
    with torch.no_grad(), highest_precision():
        eager = _outputs(lambda x: ExplainingInferer("none")(x, network), batches)
        other = _outputs(exported, batches)
    differences = {name: float((other[name] - eager[name]).abs().max() / eager[name].abs().max()) for name in OUTPUTS}
    same = (other[CLASS].argmax(dim=1) == eager[CLASS].argmax(dim=1)).float().mean()
    return Agreement(len(images), source, differences, float(same))


@contextmanager
def highest_precision() -> Iterator[None]:
    """Within the context, PyTorch multiplies float32 matrices in float32, not in TF32 or bfloat16."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _outputs(call: Callable[[Tensor], Any], batches: tuple[Tensor, ...]) -> dict[str, Tensor]:
    found = [call(batch) for batch in batches]
    return {name: torch.cat([output[name] for output in found]).double() for name in OUTPUTS}
