"""One head of the network as a plain network: for whatever wants a single tensor."""

from __future__ import annotations

from torch import Tensor, nn


class HeadView(nn.Module):
    """The network, returning one of its outputs; it shares the network's weights.

    Args:
        network: returns a dictionary of tensors.
        head: the name of the output to return, ``class`` or ``mask``.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return the head's logits of images (B, C, H, W)."""
        out: dict[str, Tensor] = self.network(x)
        return out[self.head]
