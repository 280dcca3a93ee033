"""An exponential moving average of the weights, which is validated and saved in their place."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAveraging:
    """Average the weights over the training's steps: ``average = d * average + (1 - d) * weights`` after each.

    The average is flatter in the loss and less noisy than the last step's weights (Polyak and Juditsky 1992; Izmailov
    et al. 2018, https://arxiv.org/abs/1803.05407), and it is what the evaluator sees. Early on d is smaller,
    ``min(decay, (1 + t) / (10 + t))`` after t steps, so that the first weights are soon forgotten.

    The running statistics of batch normalisation are averaged too, as timm and torchvision do: those of the last steps
    belong to other weights than the average's. Counters are copied.

    Args:
        network: the network that is trained (unwrapped, not the distributed wrapper).
        evaluator: the validation's engine; the average takes its network's place.
        decay: d of later steps, in [0, 1); about the last ``1 / (1 - decay)`` steps count. 0 averages nothing and
            leaves the evaluator as it is.

    Raises:
        ValueError: when ``decay`` is not in [0, 1).
    """

    def __init__(self, network: nn.Module, evaluator: SupervisedEvaluator, decay: float = 0.0) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"The average's decay must be in [0, 1), got {decay}.")
        self.network, self.evaluator, self.decay = network, evaluator, decay
        self.average = network  # what is validated and saved: the network itself without averaging
        self.updates = 0
        self._floats: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._counters: list[tuple[Tensor, Tensor]] = []

    @property
    def enabled(self) -> bool:
        """Whether there is an average."""
        return self.decay > 0

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, whose network is on its device by now, and give the evaluator the average."""
        if not self.enabled:
            return
        self.average = deepcopy(self.network).requires_grad_(False).eval()
        self.evaluator.network = self.average
        for ours, theirs in zip(self._tensors(self.average), self._tensors(self.network), strict=True):
            if ours.is_floating_point():
                self._floats[0].append(ours)
                self._floats[1].append(theirs)
            else:
                self._counters.append((ours, theirs))
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        self.evaluator.add_event_handler(Events.STARTED, self._agree)

    @staticmethod
    def _tensors(network: nn.Module) -> list[Tensor]:
        return [value.detach() for value in (*network.parameters(), *network.buffers())]

    def _start(self, engine: Engine) -> None:
        if self.updates == 0:  # the weights that the training starts from may have been loaded since
            self.average.load_state_dict(self.network.state_dict())

    def __call__(self, engine: Engine) -> None:
        """Take a step's weights into the average; the device is not waited for."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(*self._floats, None)
        for ours, theirs in self._counters:
            ours.copy_(theirs)
        self.updates += 1

    def _agree(self, engine: Engine) -> None:
        """Let all processes validate what the first one saves: their running statistics are of their own batches."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for buffer in self.average.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its number of steps; nothing without averaging."""
        return {"network": self.average.state_dict(), "updates": self.updates} if self.enabled else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the average of a resumed training; one that had none starts its average from its weights."""
        if self.enabled and state:
            self.average.load_state_dict(state["network"])
            self.updates = int(state["updates"])
