"""Tell which images two folders share, or which a folder holds twice: mirrored, cropped and re-encoded copies too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from braintumor_ext.data.copies import COPY_LIKENESS
from braintumor_ext.data.crosscheck import crosscheck, summary
from braintumor_ext.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: ``arguments``, by default ``sys.argv``.

    Returns:
        The exit code: 0; 1 where files could not be read (the rest is compared); 2 where nothing could be compared.
    """
    options = _parser().parse_args(arguments)
    try:
        if not 0 < options.likeness <= 1:
            raise InputError("--likeness", f"{options.likeness} is not in (0, 1]", f"Give about {COPY_LIKENESS}")
        result = crosscheck(options.first, options.second, options.output, options.likeness, options.shown)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for problem in result.unreadable:
        print(f"left out: {problem}", file=sys.stderr)
    print(summary(result, options.output))
    return 1 if result.unreadable else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.crosscheck", description=__doc__)
    parser.add_argument("first", type=Path, metavar="A", help="folder of images, searched to any depth")
    parser.add_argument("second", type=Path, nargs="?", metavar="B", help="another; without it, A against itself")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder of copies.csv and copies.png")
    parser.add_argument(
        "--likeness", type=float, default=COPY_LIKENESS, metavar="X", help="least of a copy (default: %(default)s)"
    )
    parser.add_argument("--shown", type=int, default=24, metavar="N", help="pairs to draw (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
