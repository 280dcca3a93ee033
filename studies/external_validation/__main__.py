"""Probe a checkpoint on data from elsewhere: classes, false masks, recall and Dice. Reported, never tuned on."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from braintumor_ext import Predictor
from braintumor_ext.calibration import describe_calibration
from braintumor_ext.engines.provenance import provenance
from braintumor_ext.errors import InputError
from studies.external_validation import ExternalValidation, validate_images, write_validations
from studies.options import add_checkpoint_options
from studies.release import checkpoint_of

ROOT = Path(__file__).resolve().parents[2]
HEALTHY, TUMOUR = "dicom-head", "nifti-glioblastoma"
NOTES = {
    HEALTHY: "One series of one healthy, de-faced head, T1-weighted without contrast agent: other than the training's "
    "slices.",
    TUMOUR: "Two T1-weighted volumes of glioblastoma after treatment, with raw scanner intensities: other than the "
    "training's slices.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0; 1 where some slices could not be judged; 2 where nothing could be probed.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        checkpoint = checkpoint_of(options.checkpoint_dir)
        predictor = Predictor.from_bundle(ROOT, checkpoint, options.device, amp=False)
        probes = _probes(options, predictor)
        context = {
            "checkpoint": str(checkpoint),
            "image_size": predictor.postprocessor.image_size,
            "calibration": describe_calibration(predictor.postprocessor.calibration),
        }
        write_validations(probes, options.output, provenance(context), NOTES)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = sum(len(probe.failed) for probe in probes)
    print(f"{options.output / 'probes.md'}: " + ", ".join(f"{p.name} {len(p.records)} slices" for p in probes))
    if failed:
        print(f"{failed} slice(s) could not be judged: see the report.", file=sys.stderr)
    return 1 if failed else 0


def _probes(options: argparse.Namespace, predictor: Predictor) -> list[ExternalValidation]:
    if options.images is not None:
        return [validate_images(predictor, options.images, options.masks, options.healthy, options.name)]
    for name in (HEALTHY, TUMOUR):
        if not (options.data / name).is_dir():
            remedy = f"Give a folder that holds {HEALTHY} and {TUMOUR}, or your own --images"
            raise InputError(options.data / name, "is not a folder", remedy)
    return [
        validate_images(predictor, options.data / HEALTHY, healthy=True),
        validate_images(predictor, options.data / TUMOUR, masks=options.data / TUMOUR),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.external_validation", description=__doc__)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data", type=Path, metavar="DIR", help=f"folder that holds {HEALTHY} and {TUMOUR}")
    data.add_argument("--images", type=Path, metavar="DIR", help="your own slices: pictures, DICOM or NIfTI")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--masks", type=Path, metavar="DIR", help="their true masks: the same stems, or with _mask")
    truth.add_argument("--healthy", action="store_true", help="all of them are without tumour")
    parser.add_argument("--name", metavar="NAME", help="what to call your slices (default: their folder's name)")
    add_checkpoint_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
