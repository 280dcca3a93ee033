"""A network in int8 for OpenVINO, by post-training static quantisation: kept only where it predicts as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from braintumor_ext.backends.backend import needed
from braintumor_ext.backends.description import Description
from braintumor_ext.backends.export import converted, files_beside
from braintumor_ext.backends.openvino import OpenVino
from braintumor_ext.errors import InputError
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics import SliceRecord
from braintumor_ext.networks import BrainTumorNet

LARGEST_LOSS = 0.005  # what accuracy and Dice may lose: half a point of a hundred


@dataclass(frozen=True)
class Quantisation:
    """What int8 costs on slices that it was not fitted to."""

    slices: int  # training slices that the ranges of the activations were taken from
    n: int  # slices that both are scored on
    accuracy: tuple[float, float] | None  # of float32 and of int8, in [0, 1]; None where no class is known
    dice: tuple[float, float] | None  # likewise, over the slices with a tumour; None where no mask is known
    same_class: float  # share of the slices, in [0, 1], that get the same class from both

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None if it is good."""
        known = {name: pair for name, pair in (("accuracy", self.accuracy), ("Dice", self.dice)) if pair is not None}
        if not known:
            return "cannot be judged: of the validation section neither a class nor a tumour's mask is known"
        lost = [
            f"{name} {before:.4f} becomes {after:.4f}"
            for name, (before, after) in known.items()
            if not before - after <= LARGEST_LOSS + 1e-9  # NaN is lost too
        ]
        limit = f"at most {LARGEST_LOSS:.3f} may be lost"
        return f"is worse than float32 on {self.n} validation slices: {', '.join(lost)} ({limit})" if lost else None

    @classmethod
    def of(cls, slices: int, before: Sequence[SliceRecord], after: Sequence[SliceRecord]) -> Quantisation:
        """Return what the records of the same slices say, before in float32 and after in int8."""
        right = [
            [r.predicted_class == r.true_class for r in found if r.true_class != UNKNOWN] for found in (before, after)
        ]
        dice = [[r.dice for r in found if r.true_area_px] for found in (before, after)]
        accuracy, overlap = (
            (float(np.mean(pair[0])), float(np.mean(pair[1]))) if all(pair) else None for pair in (right, dice)
        )
        same = [one.predicted_class == other.predicted_class for one, other in zip(before, after, strict=True)]
        return cls(slices, len(same), accuracy, overlap, sum(same) / len(same))


def export_int8(
    network: BrainTumorNet,
    path: str | PathLike[str],
    description: Description,
    slices: Sequence[Tensor],
    predict: Callable[[nn.Module], Sequence[SliceRecord]],
) -> Quantisation:
    """Write a network in int8 as OpenVINO's files, once it is known to predict as well as in float32.

    Weights and activations of the layers that NNCF knows become int8, the activations' ranges being those of the slices
    (https://arxiv.org/abs/1712.05877). An earlier file is renamed.

    Args:
        network: the network, loaded, on the CPU.
        description: what the file is to say of itself; the quantisation is added.
        slices: preprocessed training slices, each (C, H, W).
        predict: from a network to its records of the validation section's slices.

    Returns:
        The quantisation, which the file holds too.

    Raises:
        InputError: too much is lost (no file is left), or a package is not installed.
    """
    backend = OpenVino()
    backend.runtime()  # before NNCF, which would load its telemetry
    nncf = needed("nncf", "int8", extra="int8")
    model = converted(network, backend, slices[0].shape[0])
    inputs = nncf.Dataset([image[None].contiguous().numpy() for image in slices])
    quantised = nncf.quantize(model, inputs, subset_size=len(slices))
    cpu = torch.device("cpu")
    with files_beside(Path(path), "float32", "tried", "final") as (exact, tried, final):
        backend.save(model, exact, description)
        backend.save(quantised, tried, description)
        found = Quantisation.of(len(slices), *(predict(backend.load(file, cpu)) for file in (exact, tried)))
        if found.problem is not None:
            raise InputError(path, found.problem, "It is not kept. Export it in float32, or give other data")
        backend.save(quantised, final, replace(description, quantisation=asdict(found)))
    return found
