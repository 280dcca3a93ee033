"""Where a checkpoint fails: an evaluation by class, source, plane and tumour size, and a sheet of its surest errors."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.files import write_json
from braintumor_ext.jsonable import jsonable
from studies.drawn_slices import draw_slices, evaluated_predictor
from studies.evaluated_slices import EvaluatedSlice, read_evaluated, read_metrics
from studies.external_validation import write_sheet
from studies.known_failures import known_failures, worst_errors, write_known_failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0, or 2 where nothing could be reported.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        classes, context = _context(options.evaluation)
        slices = _slices(options)
        content = known_failures(slices, classes)
        worst = worst_errors(slices, options.worst)
        options.output.mkdir(parents=True, exist_ok=True)
        report = options.output / "known_failures.md"
        write_known_failures(content, report, worst, classes, context)
        write_json(report.with_suffix(".json"), jsonable(content))
        print(report)
        if options.checkpoint_dir is not None and worst:
            _draw(options, context.get("checkpoint_sha256"), worst)
    except (InputError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _context(evaluations: Sequence[Path]) -> tuple[Classes, dict[str, Any]]:
    """Return the classes of all evaluations and what their contexts have in common."""
    metrics = [read_metrics(evaluation) for evaluation in evaluations]
    classes = [Classes.of(content) for content in metrics]
    if other := next((e for e, c in zip(evaluations, classes, strict=True) if c != classes[0]), None):
        raise InputError(other, f"has other classes than {evaluations[0]}", "Give evaluations of one set of classes")
    first, *others = (content["context"] for content in metrics)
    common = {key: value for key, value in first.items() if all(context.get(key) == value for context in others)}
    return classes[0], common if not others else {"evaluations": len(metrics), **common}


def _slices(options: argparse.Namespace) -> list[EvaluatedSlice]:
    pooled: dict[str, EvaluatedSlice] = {}
    for evaluation in options.evaluation:
        found = read_evaluated(evaluation, options.dataset_dir, options.groups, options.datalist, options.planes)
        if twice := next((s.source for s in found if s.source in pooled), None):
            raise InputError(evaluation, f"its slice {twice!r} is in another evaluation, too", "Give each slice once")
        pooled |= {s.source: s for s in found}
    return list(pooled.values())


def _draw(options: argparse.Namespace, measured: str | None, worst: Sequence[EvaluatedSlice]) -> None:
    """Draw the surest errors; the sheet shows slices of the data set and is not for publication."""
    predictor = evaluated_predictor(options.checkpoint_dir, measured, options.device)
    sheet = options.output / "known_failures.png"
    write_sheet(draw_slices(predictor, worst), sheet)
    print(sheet)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.known_failures", description=__doc__)
    parser.add_argument(
        "--evaluation",
        type=Path,
        required=True,
        nargs="+",
        metavar="DIR",
        help="with metrics.json and per_image.csv; several, such as the folds of a comparison, are pooled",
    )
    parser.add_argument(
        "--dataset_dir", "--dataset-dir", type=Path, required=True, metavar="DIR", help="the evaluated data set"
    )
    parser.add_argument("--datalist", type=Path, metavar="FILE", help="another datalist than the data set's own")
    parser.add_argument("--groups", type=Path, metavar="FILE.csv", help="columns image and group_source")
    parser.add_argument("--planes", type=Path, metavar="FILE.csv", help="columns image and plane")
    parser.add_argument(
        "--checkpoint_dir", "--checkpoint-dir", type=Path, metavar="DIR", help="to draw the surest errors"
    )
    parser.add_argument("--worst", type=int, default=16, metavar="N", help="errors to show (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the report")
    parser.add_argument("--device", metavar="DEVICE", help="(default: a GPU if there is one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
