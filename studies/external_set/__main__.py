"""How a checkpoint does on slices of another hospital: AUC, masks, false alarms and flags, with 95% intervals.

The data are laid out as DATA/<sequence>/<class>/<file>, DATA/masks/<sequence>/<class>/<stem>.png and DATA/groups.csv
(image,group: the patient of each slice).
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from braintumor_ext import Predictor
from braintumor_ext.calibration import describe_calibration
from braintumor_ext.classes import Classes
from braintumor_ext.engines.provenance import provenance
from braintumor_ext.errors import InputError
from studies.external_set.predictions import SequencePredictions, predict_sequence
from studies.external_set.report import render_report, write_report
from studies.external_set.slices import find_slices
from studies.external_set.summary import summarise_sequence
from studies.options import add_checkpoint_options

ROOT = Path(__file__).resolve().parents[2]
DRAWS, SEED = 2000, 0
NOTES = {
    "lgg-external": "Its masks outline the abnormality of the FLAIR images: on T1 with contrast agent that is often "
    "more than what is seen, or nothing is seen, so that Dice has a ceiling well below 1. Nearly all its slices "
    "without tumour are the lowest ones of a head (neck and base of the skull): AUC and specificity are of such slices."
}
"""What one must know of a data set, by its folder's name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0; 1 where some slices could not be judged; 2 where nothing could be.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        checkpoint = options.checkpoint_dir / "model.pt"
        predictor = Predictor.from_bundle(ROOT, checkpoint, options.device)
        classes = predictor.classes
        if classes.empty is None:
            raise InputError(checkpoint, "has no class without tumour", "Give a checkpoint that has one")
        slices, remarks = find_slices(options.data, classes, options.sequences, options.masks, options.groups)
        predictions = {name: predict_sequence(predictor, found, name) for name, found in slices.items()}
        sequences = {name: _summary(name, found, classes) for name, found in predictions.items()}
        context = {
            "data": options.data.resolve().name,
            "checkpoint": str(checkpoint),
            "image_size": predictor.postprocessor.image_size,
            "calibration": describe_calibration(predictor.postprocessor.calibration),
            "bootstrap": f"{DRAWS} draws, seed {SEED}",
        }
        note = NOTES.get(options.data.resolve().name, "") if options.note is None else options.note
        content = {"context": provenance(context), "note": note, "remarks": remarks, "sequences": sequences}
        write_report(content, predictions, slices, predictor, options.output)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(render_report(content))
    print(f"written: {options.output / 'external_set.md'}")
    failed = sum(len(found.failed) for found in predictions.values())
    if failed:
        print(f"{failed} slice(s) could not be judged: see the report.", file=sys.stderr)
    return 1 if failed else 0


def _summary(name: str, found: SequencePredictions, classes: Classes) -> dict[str, Any]:
    if not found.records:
        first = next(iter(found.failed.items()), ("all slices", "are blank"))
        raise InputError(name, f"no slice could be judged. The first one: {first[0]}: {first[1]}", "Look at the files")
    numbers = summarise_sequence(found.records, classes, DRAWS, SEED)
    return {**numbers, "blank": found.blank, "failed": found.failed}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies.external_set",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help="the folder of the external set")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="(default: all folders in DATA but the masks')")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="(default: DATA/masks, if there is one)")
    parser.add_argument("--groups", type=Path, metavar="CSV", help="(default: DATA/groups.csv)")
    add_checkpoint_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder of the report")
    parser.add_argument("--note", metavar="TEXT", help="what readers must know of the data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
