"""A layer's activations and their gradients, of each image by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.networks.utils import eval_mode
from monai.utils import ensure_tuple
from monai.visualize.class_activation_maps import ModelWithHooks
from torch import Tensor, nn

from braintumor_ext.explain.layers import find_layer
from braintumor_ext.explain.scores import class_score

Classes = int | Sequence[int] | Tensor | None  # one class for all images, one for each, or None for the predicted ones


class ActivationGradients(ModelWithHooks):
    """MONAI's ``ModelWithHooks``, right for batches and cheap.

    It takes the place of ``ModelWithHooks`` in MONAI's ``GradCAM``, ``GradCAMpp`` and ``SmoothGrad``. monai 1.6.1's own
    takes ``logits[:, classes]``, which is (B, B), so that an image's gradient is that of all images' classes; it needs
    gradients to be enabled, sends them through the whole network and into the parameters' ``grad``, and leaves its
    hooks behind. Here

    - each image's score is its own, so its map is the same alone and in any batch;
    - the forward pass records nothing up to the layer: gradients flow from the score to the layer only;
    - hooks live as long as the call; parameters' ``grad`` and ``requires_grad`` are not touched;
    - it works under ``no_grad`` and computes in float32 under autocast.

    Args:
        target_layer_names: one layer's name as in ``named_modules``; none for the gradient of the input itself.
        score: what is explained: from the network's output and the classes to (B,) scores; each must depend on its own
            image alone. By default the class's logit.

    Raises:
        ValueError: the network has no such layer; valid ones are listed.
    """

    def __init__(
        self,
        nn_module: nn.Module,
        target_layer_names: str | Sequence[str] = (),
        score: Callable[[Any, Classes], Tensor] | None = None,
    ) -> None:
        super().__init__(nn_module, (), register_forward=True, register_backward=True)  # no layer, so no hook yet
        self.target_layers = ensure_tuple(target_layer_names)
        if len(self.target_layers) > 1:
            raise ValueError(f"one layer at a time, got {self.target_layers}.")
        self._layer = find_layer(nn_module, self.target_layers[0]) if self.target_layers else None
        self.score_of = score or class_score
        self.output: Any = None

    def __call__(
        self, x: Tensor, class_idx: Classes = None, retain_graph: bool = False, **kwargs: Any
    ) -> tuple[Any, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the network's output, the layer's activations and their gradients, each (B, C, h, w).

        Without a layer the gradient goes to ``x.grad``, as MONAI's ``VanillaGrad`` expects.

        Raises:
            ValueError: the score does not depend on the layer.
        """
        source = x.detach()
        with eval_mode(self.model), torch.autocast(x.device.type, enabled=False), self._cut(source) as leaves:
            output = self.model(source.float() if self._layer is not None else leaves[0], **kwargs)
            self.output = _plain(output)
            score = self.score_of(output, class_idx)
            gradient = self._gradient(score, leaves, retain_graph)
        leaf = leaves[-1].detach()
        self.score = score.detach().reshape(-1, *[1] * (leaf.ndim - 1))  # Grad-CAM++ multiplies gradients by its exp
        if self._layer is None:
            x.grad = gradient
        return self.output, (leaf,), (gradient,)

    @contextmanager
    def _cut(self, source: Tensor) -> Iterator[list[Tensor]]:
        """Let the graph begin at the layer's output (at the input without a layer); give what it begins with."""
        leaves: list[Tensor] = []

        def begin(module: nn.Module, inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise ValueError(f"the layer {self.target_layers[0]!r} gives {type(output).__name__}, not a tensor.")
            leaves.append(output.detach().float().requires_grad_())
            torch.set_grad_enabled(True)
            return leaves[-1].clone()  # what comes next may work in place

        if self._layer is None:
            leaves.append(source.float().clone().requires_grad_())
            with torch.enable_grad():
                yield leaves
            return
        handle = self._layer.register_forward_hook(begin)
        try:
            with torch.no_grad():  # ends where the hook enables gradients; restored when the block is left
                yield leaves
        finally:
            handle.remove()

    def _gradient(self, score: Tensor, leaves: list[Tensor], retain_graph: bool) -> Tensor:
        what = f"the layer {self.target_layers[0]!r}" if self.target_layers else "the input"
        if not leaves:
            raise ValueError(f"{what} has no part in the network's forward pass: give another layer.")
        if score.requires_grad:
            (gradient,) = torch.autograd.grad(score.sum(), leaves[-1], retain_graph=retain_graph, allow_unused=True)
            if gradient is not None:
                return gradient.detach()
        raise ValueError(f"{what} has no influence on what is explained: give a layer that the head reads.")


def _plain(output: Any) -> Any:
    """Drop the graph of a network's output."""
    if isinstance(output, dict):
        return {name: _plain(value) for name, value in output.items()}
    return output.detach() if isinstance(output, Tensor) else output
