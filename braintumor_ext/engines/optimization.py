"""What the optimizer is given: groups of parameters, the learning rate of an epoch, clipped gradients."""

from __future__ import annotations

import math
from typing import Any

from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

DECAY_ON = ("all", "matrices")


def parameter_groups(network: nn.Module, decay_on: str = "all") -> list[dict[str, Any]]:
    """Return a network's parameters as an optimizer's ``params``, in groups by whether they decay.

    Biases and the scales of normalisation layers have one dimension; pulling them to zero does not regularise what the
    network computes (He et al. 2019, https://arxiv.org/abs/1812.01187, section 3.1). Their group has ``weight_decay``
    0; the other keeps the optimizer's own.

    Args:
        decay_on: ``all`` parameters decay, in one group; or only ``matrices``, those of more than one dimension.

    Raises:
        ValueError: when ``decay_on`` is neither.
    """
    if decay_on not in DECAY_ON:
        raise ValueError(f"decay_on must be one of {', '.join(DECAY_ON)}, got {decay_on!r}.")
    parameters = list(network.parameters())
    if decay_on == "all":
        return [{"params": parameters}]
    matrices, others = ([p for p in parameters if (p.ndim > 1) is matrix] for matrix in (True, False))
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]


def warmup_length(max_epochs: int, warmup_epochs: int = 5) -> int:
    """Return the number of warm-up epochs: ``warmup_epochs``, in short trainings a quarter of them, rounded down."""
    return min(warmup_epochs, max_epochs // 4)


class WarmupCosineLR(LRScheduler):
    """Linear from ``start_factor`` times the base rate, then a cosine to ``final_lr``; one step an epoch.

    With base rate b, warm-up W and E epochs, epoch e has ``b * (start_factor + (1 - start_factor) * e / W)`` below W,
    then ``final_lr + (b - final_lr) * (1 + cos(pi * (e - W) / (E - W))) / 2``, the annealing of SGDR
    (https://arxiv.org/abs/1608.03983, equation 5). It is closed-form, so that any E from 1 works and a resumed
    training goes on exactly.

    Args:
        optimizer: its groups' rates are the base rates.
        warmup_epochs: W; a quarter of E, rounded down, where that is shorter.

    Raises:
        ValueError: when ``max_epochs`` is not positive.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_epochs: int,
        warmup_epochs: int = 5,
        start_factor: float = 0.2,
        final_lr: float = 1e-5,
    ) -> None:
        if max_epochs < 1:
            raise ValueError(f"max_epochs must be positive, got {max_epochs}.")
        self.max_epochs = max_epochs
        self.warmup_epochs = warmup_length(max_epochs, warmup_epochs)
        self.start_factor, self.final_lr = start_factor, final_lr
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group at ``last_epoch``."""
        epoch, warmup, final, bases = self.last_epoch, self.warmup_epochs, self.final_lr, map(float, self.base_lrs)
        if epoch < warmup:
            return [base * (self.start_factor + (1 - self.start_factor) * epoch / warmup) for base in bases]
        progress = min((epoch - warmup) / (self.max_epochs - warmup), 1.0)
        return [final + (base - final) * (1 + math.cos(math.pi * progress)) / 2 for base in bases]

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a state, but keep this schedule's own length: a resumed training may be longer."""
        kept = ("max_epochs", "warmup_epochs", "start_factor", "final_lr", "base_lrs")
        super().load_state_dict({key: value for key, value in state_dict.items() if key not in kept})
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = self.get_lr()


class GradientClipping:
    """Clip the Euclidean norm of all gradients together to ``max_norm``, before each optimizer step.

    Under CUDA mixed precision the gradients are unscaled first: the norm of scaled gradients would be thousands of
    times too large, and every step would be clipped.

    Raises:
        ValueError: when ``max_norm`` is not positive.
    """

    def __init__(self, max_norm: float = 1.0) -> None:
        if max_norm <= 0:
            raise ValueError(f"max_norm must be positive, got {max_norm}.")
        self.max_norm = max_norm

    def attach(self, engine: SupervisedTrainer) -> None:
        """Attach to a :class:`monai.engines.SupervisedTrainer`."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Clip the gradients of the trainer's optimizer."""
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and scaler.is_enabled():
            scaler.unscale_(engine.optimizer)
        parameters = [p for group in engine.optimizer.param_groups for p in group["params"]]
        clip_grad_norm_(parameters, self.max_norm)
