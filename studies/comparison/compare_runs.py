"""Judge a recipe: its gain over the runs without it, on the same slices, against the gain's standard error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.errors import InputError
from braintumor_ext.files import write_json, write_text
from braintumor_ext.jsonable import jsonable
from braintumor_ext.metrics import SliceRecord, read_records
from studies.comparison import judge, render_judgement


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0, or 2 where nothing could be judged.
    """
    options = _parser().parse_args(arguments)
    try:
        classes = Classes(options.class_names)
        before, after = (_read(paths, classes) for paths in (options.without, options.with_it))
        judgement = judge(before, after, len(classes))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = render_judgement(judgement, options.title)
    print(text)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        write_text(options.output / "judgement.md", text)
        write_json(options.output / "judgement.json", jsonable(judgement))
    return 0


def _read(paths: Sequence[Path], classes: Classes) -> Mapping[str, Sequence[SliceRecord]]:
    """Read each run's predictions, by the run's name: as much of its path as tells it from the others."""
    files = [path / "per_image.csv" if path.is_dir() else path for path in paths]
    names = [path.parent.parent.name for path in files]
    if len(set(names)) < len(names):
        names = [str(path) for path in files]
    if len(set(names)) < len(names):
        raise InputError(names[0], "is given twice", "Give each run once")
    return {name: read_records(path, classes) for name, path in zip(names, files, strict=True)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m studies.comparison.compare_runs", description=__doc__)
    runs = "evaluations (a folder with per_image.csv, or such a file)"
    parser.add_argument("--without", nargs="+", type=Path, required=True, metavar="DIR", help=f"{runs} of the baseline")
    parser.add_argument(
        "--with", dest="with_it", nargs="+", type=Path, required=True, metavar="DIR", help="those of the recipe"
    )
    parser.add_argument("--title", default="Judgement of a recipe", help="the table's heading")
    parser.add_argument("--class_names", nargs="+", default=list(CLASSES), metavar="NAME", help="(default: ours)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="for judgement.md and judgement.json too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
