"""Make the embedded data set: synthetic head slices of the four classes with true masks and groups."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from braintumor_ext.data.phantoms import make_phantoms


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: ``arguments``, by default ``sys.argv``.

    Returns:
        The exit code: 0, or 2 where the folder or a number cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m scripts.make_phantoms",
        description=__doc__,
        epilog="The same arguments give the same files. They are drawings: figures reached on them say nothing about "
        "patients.",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write, new or empty")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole data set (default: %(default)s)")
    parser.add_argument(
        "--heads", type=int, default=80, help="synthetic patients; the classes take turns (default: %(default)s)"
    )
    parser.add_argument("--slices-per-head", type=int, default=4, help="slices of each (default: %(default)s)")
    parser.add_argument("--size", type=int, default=192, help="side of a slice in pixels (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        root = make_phantoms(options.output, options.heads, options.slices_per_head, options.size, options.seed)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.heads * options.slices_per_head} slices of {options.heads} heads in {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
