"""Answers averaged over a slice and its mirror image: test-time augmentation by the one symmetry that a head has."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from braintumor_ext.keys import CLASS, MASK


class MirrorAverage(nn.Module):
    """A network whose probabilities are the mean of those for a slice and its mirror image; it shares the weights.

    The slice is mirrored left to right, the mask that is answered is mirrored back. It costs twice the network.

    Args:
        network: returns ``class`` (B, K) and, if it gives masks, ``mask`` (B, 1, H, W), both as logits.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # as in the views

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return ``class`` and ``mask`` of images (B, C, H, W), as logits of the mean probabilities."""
        plain: dict[str, Tensor] = self.network(x)
        mirrored: dict[str, Tensor] = self.network(x.flip(-1))
        # Logarithms of mean probabilities, up to a constant that no softmax depends on: no probability underflows to 0.
        out = {CLASS: log_softmax(plain[CLASS], 1).logaddexp(log_softmax(mirrored[CLASS], 1))}
        if MASK in plain:
            a, b = plain[MASK], mirrored[MASK].flip(-1)
            out[MASK] = logsigmoid(a).logaddexp(logsigmoid(b)) - logsigmoid(-a).logaddexp(logsigmoid(-b))
        return out
