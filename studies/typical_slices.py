"""A sheet of typical slices of an evaluation: of each tumour class those at the quartiles of Dice, not the best."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.visualize import tile_pictures
from studies.comparison.scores import tumour_dice
from studies.drawn_slices import draw_slices, evaluated_predictor
from studies.evaluated_slices import EvaluatedSlice, read_evaluated, read_metrics
from studies.group_sources import PATIENT
from studies.options import add_checkpoint_options

QUARTILES = (0.25, 0.75)
COLUMNS, WIDTH, QUALITY = len(QUARTILES), 860, 85


def typical_slices(slices: Sequence[EvaluatedSlice], classes: Classes) -> list[EvaluatedSlice]:
    """Return the slices at the lower and the upper quartile of Dice of each class that has any, class by class.

    Args:
        slices: what was evaluated; those without a known tumour are left out.
    """
    dice = dict(zip((s.source for s in slices), tumour_dice([s.record for s in slices]), strict=True))
    found = []
    for index in range(len(classes)):
        scored = [s for s in slices if s.record.true_class == index and not np.isnan(dice[s.source])]
        ordered = sorted(scored, key=lambda s: (dice[s.source], s.source))
        found += [ordered[round(share * (len(ordered) - 1))] for share in QUARTILES if ordered]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0, or 2 where nothing could be drawn.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        metrics = read_metrics(options.evaluation)
        slices = read_evaluated(options.evaluation, options.dataset_dir, options.groups, options.datalist)
        if options.groups is not None:
            slices = [s for s in slices if s.group_source == PATIENT]
        shown = typical_slices(slices, Classes.of(metrics))
        predictor = evaluated_predictor(options.checkpoint_dir, metrics["context"]["checkpoint_sha256"], options.device)
        pictures = draw_slices(predictor, shown, explain="gradcam")
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(options.output) as partial:
            tile_pictures(pictures, COLUMNS, WIDTH).save(partial, format="JPEG", quality=QUALITY)
    except (InputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for slice_ in shown:
        print(f"{slice_.source}: Dice {slice_.record.dice:.3f}")
    print(options.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.typical_slices", description=__doc__)
    parser.add_argument(
        "--evaluation", type=Path, required=True, metavar="DIR", help="with metrics.json and per_image.csv"
    )
    parser.add_argument(
        "--dataset_dir", "--dataset-dir", type=Path, required=True, metavar="DIR", help="the evaluated data set"
    )
    parser.add_argument("--datalist", type=Path, metavar="FILE", help="another datalist than the data set's own")
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE.csv",
        help="columns image and group_source: only slices whose patient is known are drawn",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.jpg", help="the sheet")
    add_checkpoint_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
