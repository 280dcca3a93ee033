"""Clipping of the gradient's norm in a MONAI trainer."""

from __future__ import annotations

from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch.nn.utils import clip_grad_norm_


class GradientClipping:
    """Clip the norm of all gradients together, before each optimizer step.

    Under CUDA mixed precision the gradients are unscaled first: the norm of scaled gradients would be thousands of
    times too large, and every step would be clipped.

    Args:
        max_norm: the largest Euclidean norm that passes unchanged.

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
