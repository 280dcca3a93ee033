"""The key metric of a training: how well classes and masks are predicted, in one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.data import MetaTensor

from braintumor_ext.keys import CLASS, LABEL, MASK
from braintumor_ext.metrics.classification import rates

Output = Mapping[str, Mapping[str, torch.Tensor]]


def pred_and_label(output: Output) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]:
    """Take the prediction and the target from the output of one of MONAI's engines, made with ``decollate=False``.

    Raises:
        TypeError: the engine decollates its output into a list.
    """
    if not isinstance(output, Mapping):
        problem = f"JointScore reads whole batches, but the engine's output is a {type(output).__name__}"
        raise TypeError(f"{problem}: make the evaluator with decollate=False")
    return output["pred"], output["label"]


class JointScore(Metric):
    """The mean of macro F1 (classes) and mean Dice (masks) over a whole epoch, equal on any number of processes.

    Each part uses what is known: macro F1 the slices with a known class and, of the classes, those with at least one
    true or predicted sample; mean Dice the slices with a known mask that holds tumour, at a probability above 0.5. If
    only one part is defined, it is the score; if none is, the score is 0. At an epoch's end ``val_macro_f1``,
    ``val_accuracy`` and ``val_mean_dice`` are put beside it in ``engine.state.metrics``, as far as defined.

    Args:
        output_transform: takes ``engine.state.output`` to (prediction, target): ``{"class": (B, K), "mask":
            (B, 1, H, W)}`` logits and ``{"class": (B,), "label": (B, 1, H, W)}``, in which -1 means unknown. A part
            that one of them has no key for is unknown.

    Example:
        >>> import torch
        >>> score = JointScore(num_classes=4)
        >>> mask = torch.ones(1, 1, 2, 2)
        >>> score.update(({"class": torch.eye(4)[:1], "mask": mask}, {"class": torch.tensor([0]), "label": mask}))
        >>> score.compute()
        1.0
    """

    # The prediction and the target are dictionaries: ignite must not try to unroll them into samples.
    required_output_keys = None

    def __init__(
        self,
        num_classes: int,
        output_transform: Callable[[Any], Any] = pred_and_label,
        device: str | torch.device = "cpu",
    ) -> None:
        self.num_classes = num_classes
        super().__init__(output_transform=output_transform, device=device, skip_unrolling=True)

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all that was seen."""
        self._confusion = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64, device=self._device)
        self._dice_sum = torch.zeros((), dtype=self._double_dtype, device=self._device)
        self._dice_count = torch.zeros((), dtype=torch.int64, device=self._device)

    @reinit__is_reduced
    def update(self, output: tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]) -> None:
        """Count one batch, a (prediction, target) as in the class's description."""
        prediction, target = output
        if CLASS in target:
            self._count_classes(_plain(prediction[CLASS]), _plain(target[CLASS]))
        if LABEL in target and MASK in prediction:
            self._count_masks(_plain(prediction[MASK]), _plain(target[LABEL]))

    def _count_classes(self, logits: torch.Tensor, classes: torch.Tensor) -> None:
        classes = classes.reshape(-1).long().to(logits.device)
        cells = self.num_classes**2
        # What is unknown is counted behind the table rather than left out: picking out waits for the device.
        pairs = torch.where(classes >= 0, classes * self.num_classes + logits.argmax(1), cells)
        counts = pairs.new_zeros(cells + 1).scatter_add_(0, pairs, torch.ones_like(pairs))[:cells]
        self._confusion += counts.reshape(self._confusion.shape).to(self._device)

    def _count_masks(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        labels = labels.to(logits.device).flatten(1)
        predicted, true = (logits > 0).flatten(1), labels > 0  # a probability above 0.5 is a logit above 0
        scored = (labels >= 0).all(1) & true.any(1)
        overlap = (predicted & true).sum(1).to(self._double_dtype)
        dice = 2 * overlap / (predicted.sum(1) + true.sum(1)).clamp_min(1)
        self._dice_sum += (dice * scored).sum().to(self._device)
        self._dice_count += scored.sum().to(self._device)

    @sync_all_reduce("_confusion", "_dice_sum", "_dice_count")
    def components(self) -> dict[str, float]:
        """Return ``macro_f1``, ``accuracy`` and ``mean_dice`` over all processes, as far as they are defined."""
        parts: dict[str, float] = {}
        if self._confusion.any():
            found = rates(self._confusion.cpu().numpy())
            parts |= {name: float(found[name]) for name in ("macro_f1", "accuracy")}
        if n_masks := int(self._dice_count):
            parts["mean_dice"] = float(self._dice_sum) / n_masks
        return parts

    def compute(self) -> float:
        """Return the score over all processes, in [0, 1]."""
        return self._score(self.components())

    def completed(self, engine: Engine, name: str) -> None:
        """Put the score, as ``name``, and its parts into the engine's metrics at the end of an epoch."""
        parts = self.components()
        # A part that was defined in an earlier epoch only must not stay behind as if it were this epoch's.
        for part in ("macro_f1", "accuracy", "mean_dice"):
            engine.state.metrics.pop(f"val_{part}", None)
        engine.state.metrics.update({f"val_{part}": value for part, value in parts.items()})
        engine.state.metrics[name] = self._score(parts)

    @staticmethod
    def _score(parts: Mapping[str, float]) -> float:
        defined = [parts[part] for part in ("macro_f1", "mean_dice") if part in parts]
        return sum(defined) / len(defined) if defined else 0.0


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Drop the metadata, whose upkeep costs more than the counting."""
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
