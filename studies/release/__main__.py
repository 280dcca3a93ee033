"""Release a checkpoint: in half precision, with its settings, a calibration and stored predictions of a few slices."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from braintumor_ext import Predictor
from braintumor_ext.calibration.calibration import CALIBRATION
from braintumor_ext.classes import Classes
from braintumor_ext.data.datalist import DATALIST_JSON
from braintumor_ext.errors import InputError, InputErrors, unwrapped
from braintumor_ext.files import sha256_of
from braintumor_ext.networks import load_weights, read_settings
from studies.evaluated_slices import read_evaluated, read_metrics, split_hash
from studies.release import (
    EXPECTED,
    Agreement,
    agreement,
    check_files,
    checkpoint_of,
    choose_slices,
    settings_of,
    write_expected,
    write_release,
)

ROOT = Path(__file__).resolve().parents[2]
COMPARED, STORED = 8, 2
"""Slices of each class: on which both precisions are compared, and whose predictions are stored."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0, or 2 where nothing was released.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        found = _release(options)
    except (InputError, InputErrors) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"Half against full precision over {found.slices} evaluated slices: probabilities differ by at most "
        f"{found.probability:.1e}, masks overlap by a Dice of at least {found.mask_dice:.4f}, "
        f"{found.same_class:.0%} have the same class."
    )
    if not found.is_close:
        print("warning: that is more than half precision should change: look at the figures.", file=sys.stderr)
    return 0


def _release(options: argparse.Namespace) -> Agreement:
    checkpoint = checkpoint_of(options.checkpoint)
    settings = settings_of(checkpoint)
    _check_evaluation(options.evaluation, checkpoint, settings)
    slices = read_evaluated(options.evaluation, options.dataset_dir, datalist=options.datalist)
    chosen = choose_slices(slices, STORED)
    check_files(chosen)
    compared = [slice_.path for slice_ in choose_slices(slices, COMPARED)]
    predictor = Predictor.from_bundle(ROOT, checkpoint, options.device, calibration="none")
    full = predictor(list(compared))

    classes = Classes.of(settings)
    facts: dict[str, Any] = {"split_hash": split_hash(options.dataset_dir, options.datalist, classes)}
    if options.recipe:
        facts["recipe"] = options.recipe
    released = write_release(checkpoint, options.output, facts)
    print(f"{released}: {released.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256_of(released)}")
    load_weights(predictor.network, released)
    found = agreement(full, predictor(list(compared)))

    if options.calibration == "fit" and not _is_calibrated(released):
        calibrate(
            released, options.dataset_dir, read_settings(released), options.report, options.datalist, options.device
        )
    constants = released.with_name(CALIBRATION)
    print(f"{constants}: " + ("fitted to it" if constants.is_file() else "there is none; fit one by `calibrating`"))
    predictor = Predictor.from_bundle(ROOT, released, "cpu", amp=False)  # where everyone can have the same predictions
    about = {"data": "brain-tumor-mri" if options.data is None else options.data, **facts}
    content = write_expected(released.with_name(EXPECTED), predictor, released, chosen, about)
    print(f"{released.with_name(EXPECTED)}: the predictions about {len(content['predictions'])} slices")
    print(
        "Next, for its card, evaluate the released file itself: python -m monai.bundle run evaluating --config_file "
        "\"['configs/train.json','configs/evaluate.json']\" "
        f"--dataset_dir {options.dataset_dir} --ckpt_dir {released.parent} --image_size {settings['image_size']}"
    )
    return found


def _check_evaluation(evaluation: Path, checkpoint: Path, settings: Mapping[str, Any]) -> None:
    measured = read_metrics(evaluation)["context"]["checkpoint_sha256"]
    if measured not in (sha256_of(checkpoint), settings.get("trained_sha256")):
        problem = f"is the evaluation of another checkpoint than {checkpoint}"
        raise InputError(evaluation, problem, "Evaluate this checkpoint with `evaluating` and give its folder")


def _is_calibrated(checkpoint: Path) -> bool:
    """Whether a calibration is there: `write_release` leaves none but the checkpoint's own."""
    return checkpoint.with_name(CALIBRATION).is_file()


def calibrate(
    checkpoint: Path,
    dataset_dir: Path,
    settings: Mapping[str, Any],
    report: Path,
    datalist: Path | None = None,
    device: str | None = None,
) -> None:
    """Fit a calibration to a checkpoint by the bundle's `calibrating`, and write it beside it.

    Args:
        checkpoint: ``model.pt``.
        dataset_dir: the prepared data set that it was trained on.
        settings: what its ``training.json`` holds.
        report: the folder of the calibration's report.
        datalist: another datalist than the data set's own.
        device: where the network runs; None for a GPU if there is one.

    Raises:
        InputError: the data set cannot be used.
    """
    known = ("class_names", "empty_class", "in_channels", "image_size", "batch_size")
    overrides = {name: settings[name] for name in known if settings.get(name) is not None}
    if settings.get("empty_class", "") is None:
        overrides["empty_class"] = "none"
    if device is not None:
        overrides["device"] = device
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "configs" / f"{name}.json") for name in ("train", "calibrate")],
        logging_file=False,
        workflow_type="train",
        bundle_root=str(ROOT),
        ckpt_dir=str(checkpoint.parent),
        checkpoint=str(checkpoint),
        dataset_dir=str(dataset_dir),
        datalist=None if datalist is None else str(datalist),
        output_dir=str(report),
        pretrained=False,
        num_workers=0,
        **overrides,
    )
    with unwrapped():
        workflow.initialize()
        workflow.run()
        workflow.finalize()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.release", description=__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, required=True, metavar="PATH", help="model.pt, or its folder, with training.json"
    )
    parser.add_argument("--evaluation", type=Path, required=True, metavar="DIR", help="the checkpoint's evaluation")
    parser.add_argument(
        "--dataset_dir", "--dataset-dir", type=Path, required=True, metavar="DIR", help="the evaluated data set"
    )
    parser.add_argument(
        "--datalist", type=Path, metavar="FILE", help=f"another datalist than the data set's own {DATALIST_JSON}"
    )
    parser.add_argument("--output", type=Path, default=Path("models"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument(
        "--calibration",
        choices=("fit", "none"),
        default="fit",
        help="fit: a calibration of the released file, unless it has one; none: leave it out (default: %(default)s)",
    )
    parser.add_argument(
        "--report", type=Path, default=Path("eval"), metavar="DIR", help="of the calibration (default: %(default)s)"
    )
    parser.add_argument("--recipe", metavar="TEXT", help="how it was trained, for training.json: the recipe's name")
    parser.add_argument("--data", metavar="NAME", help="the data set's name (default: brain-tumor-mri)")
    parser.add_argument("--device", metavar="DEVICE", help="(default: a GPU if there is one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
