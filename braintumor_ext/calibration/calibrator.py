"""Fit a calibration to validation slices, a sample of the training's and pictures that are no brain MRI."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.engines.workflow import Workflow
from monai.networks.utils import eval_mode

from braintumor_ext.calibration.calibration import CALIBRATION, Calibration, group_count, write_calibration
from braintumor_ext.calibration.calibration_report import REPORT, write_calibration_report
from braintumor_ext.calibration.measures import LabelledOutputs, cross_fit, fit_constants
from braintumor_ext.calibration.ood_detector import FeatureDetector
from braintumor_ext.calibration.precision_agreement import PrecisionAgreement, mask_overlaps
from braintumor_ext.calibration.probes import KIND, probe_items
from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.sampling import spread_over_groups
from braintumor_ext.errors import InputError
from braintumor_ext.files import sha256_of
from braintumor_ext.keys import CLASS, GROUP, IMAGE, INDEX, ITEM, LABEL, MASK, PREDICTION, UNKNOWN
from braintumor_ext.networks import bfloat16_stages, cpu_has_bfloat16, has_bfloat16_stages

logger = logging.getLogger(__name__)


ROLE = "role"
"""What an item is for: one of the three below."""

TRAINING, VALIDATION, PROBE = "training", "validation", "probe"


def calibration_items(
    validation: Sequence[Mapping[str, Any]],
    training: Sequence[Mapping[str, Any]],
    max_training_slices: int | str = 600,
    probe_variants: int = 8,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return all items of a calibration with their ``role``; masks are left out, as nothing here needs them.

    Args:
        validation: the validation section.
        training: the training section.
        max_training_slices: size of the sample of the training section; 0 for all of it.
        probe_variants: pictures of each kind that is no brain MRI.
        seed: of the sample and the pictures.

    Raises:
        ValueError: ``max_training_slices`` is negative or no whole number.
    """
    limit = int(max_training_slices)
    if limit < 0:
        raise ValueError(f"max_training_slices must be 0 (all) or more, not {max_training_slices}.")
    sources = {
        VALIDATION: validation,
        TRAINING: spread_over_groups(training, limit, seed),
        PROBE: probe_items(probe_variants, seed=seed),
    }
    return [
        {**{key: value for key, value in item.items() if key != LABEL}, ROLE: role}
        for role, items in sources.items()
        for item in items
    ]


class Calibrator:
    """Gather the outputs for all items; then fit, write ``calibration.json`` and the report: an evaluator's handler.

    On a CPU that multiplies in bfloat16, validation slices are predicted in it as well, for the ``bfloat16`` entry.

    Args:
        items: the evaluated items in their order, as :func:`~braintumor_ext.calibration.calibration_items` gives them.
        checkpoint: the checkpoint that the network holds; ``calibration.json`` is written beside it.
        output_dir: where the report is written.
        image_size: the network's input size.
        confidence_target: share of right predictions, in (0, 1], wanted above the confidence threshold.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        checkpoint: str | os.PathLike[str],
        output_dir: str | os.PathLike[str],
        classes: Classes = CLASSES,
        image_size: int = 224,
        confidence_target: float = 0.95,
    ) -> None:
        self.items, self.checkpoint, self.folder = items, Path(checkpoint), Path(output_dir)
        self.classes, self.image_size = classes, int(image_size)
        self.confidence_target = float(confidence_target)
        self.calibration: Calibration | None = None
        self._outputs: dict[int, tuple[Mapping[str, Any], np.ndarray, np.ndarray | None]] = {}
        self._bfloat16: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def attach(self, engine: Workflow) -> None:
        """Attach to an evaluator in one process, as for :class:`~braintumor_ext.engines.EvaluationReport`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def _start(self, engine: Workflow) -> None:
        if not any(i[ROLE] == VALIDATION and i.get(CLASS, UNKNOWN) != UNKNOWN for i in self.items):
            problem = "no slice of the validation section has a known class: there is nothing to calibrate on"
            raise InputError("datalist", problem, "Give a datalist whose validation items have a class")
        self._outputs, self._bfloat16 = {}, []

    def __call__(self, engine: Workflow) -> None:
        """Keep what the predictions of one batch are made from."""
        batch = engine.state.batch
        slices = zip(batch[INDEX].tolist(), batch[ITEM], engine.state.output[PREDICTION], strict=True)
        for index, item, prediction in slices:
            self._outputs[index] = item, prediction.checked().logits, prediction.features
        self._compare(engine, batch[ITEM])

    def _compare(self, engine: Workflow, items: Sequence[Mapping[str, Any]]) -> None:
        """Predict a batch's validation slices in bfloat16 too, where this machine is one that would do so."""
        images, output, network = engine.state.output[IMAGE], engine.state.output["pred"], engine.network  # type: ignore[attr-defined]
        chosen = torch.tensor([item[ROLE] == VALIDATION for item in items], dtype=torch.bool)
        supported = images.is_cpu and cpu_has_bfloat16() and has_bfloat16_stages(network)
        if not supported or not chosen.any():
            return
        with torch.no_grad(), eval_mode(network), bfloat16_stages(network):  # the engine has left evaluation mode
            other = network(images[chosen])
        dice = mask_overlaps(output[MASK][chosen], other[MASK]) if MASK in output else np.empty(0)
        self._bfloat16.append((_array(output[CLASS][chosen]), _array(other[CLASS]), dice))

    def finish(self, engine: Workflow | None = None) -> None:
        """Fit, and write everything."""
        everything = self._labelled()
        roles = np.array([item[ROLE] for item in self.items])
        validation, training, probes = (everything.take(roles == role) for role in (VALIDATION, TRAINING, PROBE))
        temperature, threshold = fit_constants(validation, self.confidence_target)
        detector = None
        if validation.features is not None and training.features is not None:
            detector = FeatureDetector.fit(training.features, validation.features)
        known = validation.take(validation.known)
        self.calibration = Calibration(
            temperature=temperature,
            confidence_threshold=threshold,
            confidence_target=self.confidence_target,
            detector=detector,
            checkpoint=self.checkpoint.name,
            sha256=sha256_of(self.checkpoint),
            class_names=self.classes.names,
            image_size=self.image_size,
            fitted_on=VALIDATION,
            slices=len(known),
            groups=group_count(known.groups),
            date=time.strftime("%Y-%m-%d"),
            bfloat16=self._agreement(temperature),
        )
        kinds = [item[KIND] for item in self.items if item[ROLE] == PROBE]
        crossed = cross_fit(validation, self.confidence_target, detector)
        path = self.checkpoint.with_name(CALIBRATION)
        write_calibration_report(self.folder, self.calibration, validation, crossed, probes, kinds, len(training))
        write_calibration(path, self.calibration)
        logger.info("Temperature %.3g, confidence threshold %.3g: %s", temperature, threshold, path)
        logger.info("What it changes: %s", self.folder / REPORT)

    def _agreement(self, temperature: float) -> PrecisionAgreement | None:
        if not self._bfloat16:
            return None
        logits, others, dice = (np.concatenate(parts) for parts in zip(*self._bfloat16, strict=True))
        return PrecisionAgreement.of(logits, others, dice, temperature)

    def _labelled(self) -> LabelledOutputs:
        if len(self._outputs) != len(self.items):
            raise RuntimeError(f"{len(self._outputs)} outputs about {len(self.items)} items: calibrate in one process.")
        items, logits, means = zip(*(self._outputs[index] for index in sorted(self._outputs)), strict=True)
        classes = np.array([int(item.get(CLASS, UNKNOWN)) for item in items])
        features = None if any(one is None for one in means) else np.stack(means).astype(np.float64)
        return LabelledOutputs(np.stack(logits), classes, [item.get(GROUP) for item in items], features)


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().double().cpu().numpy()
