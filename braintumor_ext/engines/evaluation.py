"""Evaluation of a split: every slice scored in its own grid, and the report written."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.workflow import Workflow
from monai.inferers import Inferer

from braintumor_ext.calibration import Calibration, describe_calibration
from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.datalist import shown_name, true_mask
from braintumor_ext.data.trivial_baselines import trivial_baselines_for
from braintumor_ext.engines.provenance import provenance
from braintumor_ext.explain import ExplainingInferer
from braintumor_ext.keys import CLASS, GROUP, INDEX, ITEM, PREDICTION, UNKNOWN
from braintumor_ext.metrics import SliceRecord
from braintumor_ext.reporting import write_evaluation

logger = logging.getLogger(__name__)


def evaluation_inferer(plain: Inferer, calibration: Calibration | None) -> Inferer:
    """Return what runs the network in an evaluation: with a calibration it also gives the features for its detector."""
    return plain if calibration is None else ExplainingInferer("none")


@dataclass(eq=False, repr=False)
class EvaluationReport:
    """Score each slice in its own grid, gather them from all processes and write the report: an evaluator's handler."""

    output_dir: str | os.PathLike[str]
    data: Sequence[Mapping[str, Any]]  # the evaluated items, as in the datalist
    # the training's items in ``dataset_dir``, for the baselines; None leaves the baselines out
    training_data: Sequence[Mapping[str, Any]] | None = None
    dataset_dir: str | os.PathLike[str] | None = None
    classes: Classes = CLASSES
    title: str = ""
    context: Mapping[str, Any] | None = None
    n_draws: int = 2000
    seed: int = 0
    calibration: Calibration | None = None
    records: dict[int, SliceRecord] = field(init=False, default_factory=dict)
    metrics: dict[str, Any] | None = field(init=False, default=None)

    def attach(self, engine: Workflow) -> None:
        """Attach to an evaluator made with ``decollate=False`` that makes predictions.

        Its batches hold ``index`` and ``item``, as of an :class:`~braintumor_ext.data.slice_cache.IndexedDataset`.
        """
        engine.add_event_handler(Events.STARTED, lambda _: self.records.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def __call__(self, engine: Workflow) -> None:
        """Score the slices of one batch."""
        batch = engine.state.batch
        slices = zip(batch[INDEX].tolist(), batch[ITEM], engine.state.output[PREDICTION], strict=True)
        for index, item, prediction in slices:
            self.records[index] = SliceRecord.of(
                prediction,
                shown_name(item, self.dataset_dir),
                item.get(GROUP),
                int(item.get(CLASS, UNKNOWN)),
                None if prediction.mask is None else true_mask(item),
            )

    def finish(self, engine: Workflow) -> None:
        """Gather the records of all processes; on rank 0, write the report."""
        records = dict(self.records)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered: list[Any] = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(gathered, records)
            records = {index: record for part in gathered for index, record in part.items()}
            if torch.distributed.get_rank() != 0:
                return
        ordered = [records[index] for index in sorted(records)]
        baselines = None
        if self.training_data is not None and self.dataset_dir is not None:
            baselines = trivial_baselines_for(self.dataset_dir, self.training_data, self.data)
        self.metrics = write_evaluation(
            ordered,
            self.output_dir,
            self.classes,
            trivial_baselines=baselines,
            title=self.title,
            context=provenance({**(self.context or {}), "calibration": describe_calibration(self.calibration)}),
            n_draws=self.n_draws,
            seed=self.seed,
        )
        logger.info("Evaluation of %d slices: %s", len(ordered), Path(self.output_dir, "report.md"))
