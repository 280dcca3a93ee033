"""What a packed bundle says of its own checkpoint: in its metadata, and at the top of its model card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.classes import display_name
from braintumor_ext.errors import InputError
from braintumor_ext.files import sha256_of
from braintumor_ext.reporting import table, with_interval
from braintumor_ext.reporting.evaluation_report import CALIBRATION_NAMES, RATE_NAMES, TRIVIAL_BASELINE_NAMES

_AGAIN = "Evaluate this checkpoint with `evaluating` and give its metrics.json"


def read_evaluation(path: str | PathLike[str], checkpoint: str | PathLike[str]) -> dict[str, Any]:
    """Return the evaluation of a checkpoint.

    Raises:
        InputError: the file is no evaluation, or one of another checkpoint.
    """
    try:
        evaluation: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        measured = evaluation["context"]["checkpoint_sha256"]
        evaluation_metrics(evaluation)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is no evaluation ({type(error).__name__}: {error})", _AGAIN) from error
    if measured != sha256_of(checkpoint):
        raise InputError(path, f"is the evaluation of another checkpoint than {checkpoint}", _AGAIN)
    return evaluation


def evaluation_metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return ``eval_metrics`` of the metadata: names to values, without those that are undefined."""
    rates = {name: evaluation["classification"][name]["value"] for name in RATE_NAMES}
    tumours = evaluation["segmentation"]["tumour_slices"]
    overlaps = {f"mean_{name}": tumours[name]["value"] for name in ("dice", "iou")}
    calibration = {name: evaluation["calibration"][name]["value"] for name in CALIBRATION_NAMES}
    baselines = {f"baseline_{name}": baseline["accuracy"] for name, baseline in evaluation["trivial_baselines"].items()}
    measured = {**rates, **overlaps, **calibration, **baselines}
    return {name: round(float(value), 4) for name, value in measured.items() if value is not None}


def card_of_checkpoint(
    card: str,
    checkpoint: str | PathLike[str],
    settings: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
    calibrated: bool,
) -> str:
    """Return the model card with a section on the packed checkpoint before its first one.

    Args:
        settings: what ``training.json`` holds; may be empty.
        evaluation: what metrics.json holds; None where the checkpoint was not evaluated.
    """
    facts = [["SHA-256", f"`{sha256_of(checkpoint)}`"], *([name, value] for name, value in _training(settings))]
    facts.append(["Calibrated", "yes" if calibrated else "no: probabilities are as the network gives them"])
    parts = ["## This checkpoint", "", table(["`models/model.pt`", ""], facts), ""]
    if evaluation is None:
        parts.append("It was **not evaluated** when it was packed: figures further down are of other checkpoints.")
    else:
        split, groups = evaluation["context"].get("split", "?"), evaluation["bootstrap"]["n_groups"]
        header = [f"{split} split, {evaluation['slices']['total']} slices, {groups} groups", "value (95% interval)"]
        parts += [table(header, list(_measured(evaluation))), ""]
        parts.append("Intervals by bootstrap over groups. Figures further down may be of other checkpoints.")
    head, mark, rest = card.partition("\n## ")
    return head + "\n" + "\n".join(parts) + "\n" + mark + rest


def _training(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not settings:
        yield "Training", "not told"
        return
    yield "Classes", ", ".join(display_name(name) for name in settings["class_names"])
    yield "Input", f"{settings['in_channels']} x {settings['image_size']} x {settings['image_size']}"
    for name, key in (("Epoch", "epoch"), ("Pretrained", "pretrained"), ("Seed", "random_seed")):
        if key in settings:
            yield name, str(settings[key])


def _measured(evaluation: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, label in RATE_NAMES.items():
        yield [label, with_interval(evaluation["classification"][name])]
    for name, baseline in evaluation["trivial_baselines"].items():
        yield [TRIVIAL_BASELINE_NAMES.get(name, name), f"{baseline['accuracy']:.3f}"]
    tumours = evaluation["segmentation"]["tumour_slices"]
    for label, name in (("Dice on tumour slices", "dice"), ("IoU on tumour slices", "iou")):
        yield [label, with_interval(tumours[name])]
    for name, label in CALIBRATION_NAMES.items():
        yield [label, with_interval(evaluation["calibration"][name])]
