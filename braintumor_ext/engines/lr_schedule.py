"""The learning rate of an epoch: linear warm-up, then a cosine."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


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
        max_epochs: length E of the training.
        warmup_epochs: length W of the warm-up; a quarter of E, rounded down, where that is shorter.
        start_factor: share of the base rate at epoch 0, where there is a warm-up.
        final_lr: the rate that the cosine approaches.

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
        self.start_factor = start_factor
        self.final_lr = final_lr
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group at ``last_epoch``."""
        return [self._rate(float(base), self.last_epoch) for base in self.base_lrs]

    def _rate(self, base: float, epoch: int) -> float:
        if epoch < self.warmup_epochs:
            return base * (self.start_factor + (1 - self.start_factor) * epoch / self.warmup_epochs)
        progress = min((epoch - self.warmup_epochs) / (self.max_epochs - self.warmup_epochs), 1.0)
        return self.final_lr + (base - self.final_lr) * (1 + math.cos(math.pi * progress)) / 2

    def load_state_dict(self, state_dict: dict) -> None:
        """Load a state, but keep this schedule's own length: a resumed training may be longer."""
        kept = ("max_epochs", "warmup_epochs", "start_factor", "final_lr", "base_lrs")
        super().load_state_dict({key: value for key, value in state_dict.items() if key not in kept})
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = self.get_lr()
