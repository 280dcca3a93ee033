"""Evaluation of a split: every slice scored in its own grid, and the report written."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines.workflow import Workflow

from braintumor_ext.calibration import Calibration, describe_calibration
from braintumor_ext.data.classes import CLASS_NAMES, EMPTY_CLASS, empty_class_of
from braintumor_ext.data.datalist import shown_name
from braintumor_ext.data.trivial_baselines import trivial_baselines_for
from braintumor_ext.engines.provenance import provenance
from braintumor_ext.inference import class_probabilities, mask_on_grid
from braintumor_ext.inference.prediction_writer import batch_meta
from braintumor_ext.keys import CLASS, FEATURES, GROUP, IMAGE, LABEL, MASK, SLICE, UNKNOWN
from braintumor_ext.metrics import SliceRecord, score_mask, write_evaluation
from braintumor_ext.transforms import read_mask

logger = logging.getLogger(__name__)


class EvaluationReport:
    """Score each slice in its own grid, gather them from all processes and write the report: an evaluator's handler.

    Args:
        output_dir: where the report is written.
        data: the evaluated items, as in the datalist.
        training_data: the training's items, for the baselines; None leaves the baselines out.
        dataset_dir: the prepared data set, for the baselines.
        class_names: the class names in the order of their indices.
        empty_class: the class whose masks are empty; None if there is none.
        image_size: the network's input size; smaller inputs are flagged ``upscaled``.
        title: the report's heading.
        context: what the report says of the run (checkpoint, split, seed).
        n_draws: draws of the bootstrap.
        seed: seed of the bootstrap.
        calibration: the checkpoint's, for the probabilities' temperature and the flags; None for none.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        data: Sequence[Mapping[str, Any]],
        training_data: Sequence[Mapping[str, Any]] | None = None,
        dataset_dir: str | os.PathLike[str] | None = None,
        class_names: Sequence[str] = CLASS_NAMES,
        empty_class: str | None = EMPTY_CLASS,
        image_size: int = 224,
        title: str = "",
        context: Mapping[str, Any] | None = None,
        n_draws: int = 2000,
        seed: int = 0,
        calibration: Calibration | None = None,
    ) -> None:
        self.folder = Path(output_dir)
        self.items = {(str(item[IMAGE]), int(item.get(SLICE, -1))): (i, item) for i, item in enumerate(data)}
        self.data, self.training_data, self.dataset_dir = data, training_data, dataset_dir
        self.class_names, self.empty_class = list(class_names), empty_class_of(empty_class, class_names)
        self.image_size = image_size
        self.title = title
        self.context = dict(context or {})
        self.n_draws, self.seed = n_draws, seed
        self.calibration = calibration
        self.records: dict[int, SliceRecord] = {}
        self.metrics: dict[str, Any] | None = None

    def attach(self, engine: Workflow) -> None:
        """Attach to an evaluator made with ``decollate=False``."""
        engine.add_event_handler(Events.STARTED, lambda _: self.records.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def __call__(self, engine: Workflow) -> None:
        """Score the slices of one batch."""
        metas, output = engine.state.batch[IMAGE].meta, engine.state.output["pred"]
        probabilities = class_probabilities(output, self.calibration.temperature if self.calibration else 1.0)
        features = output[FEATURES].detach().cpu().numpy() if FEATURES in output else [None] * len(probabilities)
        for position, shares in enumerate(probabilities):
            meta = batch_meta(metas, position)
            index, item = self.items[str(meta["filename_or_obj"]), int(meta["slice_index"])]
            height, width = (int(v) for v in meta["slice_size"])
            # A network without a mask head is judged by its classes alone.
            predicted = mask_on_grid(output, position, height, width).numpy() if MASK in output else None
            flags = ["upscaled"] if min(height, width) < self.image_size else []
            if self.calibration is not None:
                flags += self.calibration.flags_for(shares.numpy(), features[position])
            self.records[index] = self._record(item, meta, shares.tolist(), predicted, flags)

    def _record(
        self,
        item: Mapping[str, Any],
        meta: Mapping[str, Any],
        shares: list[float],
        predicted: Any,
        flags: Sequence[str],
    ) -> SliceRecord:
        row_mm, col_mm = (float(v) for v in meta["spacing"])
        known_spacing = (row_mm, col_mm) if math.isfinite(row_mm * col_mm) else None
        scores: dict[str, Any] = {}
        true_area = 0
        if LABEL in item and predicted is not None:
            true = read_mask(item[LABEL], item.get(SLICE)) > 0
            result = score_mask(predicted, true, known_spacing)
            true_area = int(true.sum())
            scores = {"dice": result.dice, "iou": result.iou, "hd95": result.hd95, "hd95_unit": result.unit}
        return SliceRecord(
            image=shown_name(item, self.dataset_dir),
            group=item.get(GROUP),
            true_class=int(item.get(CLASS, UNKNOWN)),
            probabilities=tuple(shares),
            mask_known=LABEL in item and predicted is not None,
            true_area_px=true_area,
            pred_area_px=0 if predicted is None else int(predicted.sum()),
            spacing=known_spacing,
            flags=tuple(flags),
            mask_predicted=predicted is not None,
            **scores,
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
            self.folder,
            self.class_names,
            self.empty_class,
            trivial_baselines=baselines,
            title=self.title,
            context=provenance({**self.context, "calibration": describe_calibration(self.calibration)}),
            n_draws=self.n_draws,
            seed=self.seed,
        )
        logger.info("Evaluation of %d slices: %s", len(ordered), self.folder / "report.md")
