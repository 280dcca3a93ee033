"""A model's predictions on every split that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from braintumor_ext.errors import InputError
from braintumor_ext.metrics.records import SliceRecord

NETWORK, TRIVIAL_BASELINE = "network", "trivial baseline"
NOT_RUN, PARTIAL, DONE = "not run", "partial", "done"


@dataclass(frozen=True)
class Run:
    """One trained model's predictions on one split.

    Args:
        split: the split's name.
        seed: the seed of the split and of the training.
        fold: the fold of a cross-validation, from 0; None for a random split.
        records: the predictions on the evaluated section.
        validation_records: those on the validation slices, what a temperature is fitted on; None if there are none.
        cost: the name of a cost, such as ``training_seconds``, to its number; None for a baseline.
        hardware: what it was trained on; None for a baseline.
    """

    split: str
    seed: int
    fold: int | None
    records: Sequence[SliceRecord]
    validation_records: Sequence[SliceRecord] | None = None
    cost: Mapping[str, Any] | None = None
    hardware: str | None = None


@dataclass(frozen=True)
class ModelRuns:
    """All runs of one model under one protocol.

    Args:
        model: the model's name.
        title: what people call it.
        kind: ``network``, or ``trivial baseline`` for what gives a class only, without probabilities and masks.
        of: how many runs are planned.
        runs: those that are finished.
    """

    model: str
    title: str
    kind: str
    of: int
    runs: Sequence[Run]

    @property
    def status(self) -> str:
        """``not run``, ``partial`` or ``done``."""
        if not self.runs:
            return NOT_RUN
        return DONE if len(self.runs) >= self.of else PARTIAL

    @property
    def pooled(self) -> list[SliceRecord]:
        """All predictions in the order of the images' names; an image that several seeds test is there as often."""
        records = [_with_group(record) for run in self.runs for record in run.records]
        return sorted(records, key=lambda record: record.image)


def paired_records(a: ModelRuns, b: ModelRuns) -> list[tuple[SliceRecord, SliceRecord]]:
    """Return both models' predictions for the same slice of the same split, for all slices that both predicted.

    Args:
        a: one model.
        b: another, under the same protocol.

    Returns:
        Pairs in the order of the images' names, then of the splits'.

    Raises:
        InputError: the two do not agree on what is true of a slice.
    """
    predictions_a, predictions_b = _by_split_and_image(a), _by_split_and_image(b)
    pairs = [(predictions_a[key], predictions_b[key]) for key in sorted(predictions_a.keys() & predictions_b.keys())]
    for one, other in pairs:
        if (one.true_class, one.group) != (other.true_class, other.group):
            raise InputError(
                one.image,
                f"class {one.true_class} and group {one.group} for {a.model}, class {other.true_class} and group "
                f"{other.group} for {b.model}",
                "compare models on the same splits of the same data",
            )
    return pairs


def _by_split_and_image(model: ModelRuns) -> dict[tuple[str, str], SliceRecord]:
    """Return the predictions by (image, split)."""
    return {(record.image, run.split): _with_group(record) for run in model.runs for record in run.records}


def _with_group(record: SliceRecord) -> SliceRecord:
    """A slice without a group is a group by itself: the same one in every run."""
    return record if record.group is not None else replace(record, group=f"image {record.image}")
