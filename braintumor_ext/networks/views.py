"""One head of the network as a plain network: for whatever wants a single tensor."""

from __future__ import annotations

from torch import Tensor, nn

from braintumor_ext.keys import CLASS


class HeadView(nn.Module):
    """A network that returns a dictionary of tensors, returning one of them; it shares the network's weights."""

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        self.network, self.head = network, head
        self.training = network.training  # else whatever restores this view's mode would put the network in training

    def forward(self, x: Tensor) -> Tensor:
        """Return the head's logits of images (B, C, H, W)."""
        out: dict[str, Tensor] = self.network(x)
        return out[self.head]


class ClassView(nn.Module):
    """The class logits alone; it shares the network's weights.

    One with a method ``classify`` does without the cost of its decoder; any other runs as a whole.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # as in HeadView

    def forward(self, x: Tensor) -> Tensor:
        """Return class logits (B, K) of images (B, C, H, W)."""
        classify = getattr(self.network, "classify", None)
        out: Tensor | dict[str, Tensor] = self.network(x) if classify is None else classify(x)
        return out if isinstance(out, Tensor) else out[CLASS]
