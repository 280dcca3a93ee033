"""Small engines of MONAI for the tests of handlers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from ignite.metrics import Metric
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import Tensor, nn


class Weigh(nn.Module):
    """The inner product with one weight vector, which starts at zero."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B,) products of (B, size)."""
        return x @ self.weight


class ScriptedMetric(Metric):
    """A key metric that takes its values from a list, one for each validation."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values: Iterator[float] = iter(values)
        super().__init__(output_transform=lambda output: (0.0, 0.0))

    def reset(self) -> None:
        """Nothing to forget."""

    def update(self, output: Any) -> None:
        """Nothing to count."""

    def compute(self) -> float:
        """Return the next value."""
        return next(self.values)


def make_trainer(
    handlers: Sequence[Any] = (),
    epochs: int = 1,
    rows: Sequence[Sequence[float]] = ((1.0, 1.0),),
    rate: float = 0.1,
    network: nn.Module | None = None,
    **kwargs: Any,
) -> SupervisedTrainer:
    """Return a trainer that minimises the mean of ``network(row)``, one row an iteration, by plain descent."""
    network = network if network is not None else Weigh(len(rows[0]))
    loader = [{"image": torch.tensor([row]), "label": torch.zeros(1)} for row in rows]
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=loader,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=rate),
        loss_function=lambda prediction, target: prediction.mean(),
        train_handlers=list(handlers),
        decollate=False,
        **kwargs,
    )


def make_evaluator(scores: Sequence[float], network: nn.Module | None = None) -> SupervisedEvaluator:
    """Return an evaluator whose validations score as told."""
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[{"image": torch.ones(1, 2), "label": torch.zeros(1)}],
        network=network if network is not None else Weigh(),
        key_val_metric={"val_score": ScriptedMetric(scores)},
        decollate=False,
    )


def validating(evaluator: SupervisedEvaluator, interval: int = 1) -> ValidationHandler:
    """Return the handler that runs the evaluator each ``interval`` epochs."""
    return ValidationHandler(interval=interval, validator=evaluator, epoch_level=True)
