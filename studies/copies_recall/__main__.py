"""How many copies of slices the search for copies finds, by kind of copy, and how many false alarms it gives.

With --scale N it times a search of N by N pictures instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from braintumor_ext.data.copies import COPY_LIKENESS
from braintumor_ext.engines.provenance import provenance
from braintumor_ext.errors import InputError
from studies.copies_recall.recall import false_alarms, pairs_across_groups, recall_by_kind
from studies.copies_recall.report import draw_recall, render_recall, render_scale, write_json_and_text
from studies.copies_recall.scale import time_search
from studies.copies_recall.slices import GroupedSlices, choose, read_slices

MATERIAL = 500
"""How many slices the pictures of a timed search are mixed from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0; 1 where some slices could not be read (the rest is used); 2 where nothing could be measured.
    """
    options = _parser().parse_args(arguments)
    try:
        for name, least in (("slices", 1), ("scale", 1)):
            if (value := getattr(options, name)) is not None and value < least:
                raise InputError(f"--{name}", f"{value} is less than {least}", "Give a larger number")
        groups = options.images.parent / "groups.csv" if options.groups is None else options.groups
        at_most = None if options.scale is None else MATERIAL
        slices = read_slices(options.images, groups, at_most, options.seed)
        context = {"data": options.images.resolve().parent.name, "slices": len(slices.names), "seed": options.seed}
        if options.scale is None:
            _recall(slices, context, options)
        else:
            search = time_search(slices.framed, options.scale, options.seed)
            content = {"context": provenance(context), "search": search}
            text = render_scale(content)
            write_json_and_text(content, text, options.output, "copies_scale")
            print(text)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for problem in slices.unreadable:
        print(f"left out: {problem}", file=sys.stderr)
    return 1 if slices.unreadable else 0


def _recall(slices: GroupedSlices, context: dict[str, Any], options: argparse.Namespace) -> None:
    across = pairs_across_groups(slices)
    sharing = {slices.groups[position] for copy in across for position in (copy.first, copy.second)}
    chosen = choose(slices, options.slices, sorted(sharing), options.seed)
    if not chosen:
        raise InputError(options.images, "every group shares a copy with another", "Give slices of more groups")
    context |= {
        "groups": len(set(slices.groups)),
        "copied": f"{len(chosen)} slices of as many groups; not the {len(sharing)} groups that share a copy",
        "least_likeness_of_a_copy": COPY_LIKENESS,
    }
    kinds = recall_by_kind(slices, chosen, options.seed)
    content = {"context": provenance(context), "kinds": kinds, "false_alarms": false_alarms(slices, across)}
    text = render_recall(content)
    draw_recall(kinds, options.output / "copies_recall.png")
    write_json_and_text(content, text, options.output, "copies_recall")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies.copies_recall",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="holds a folder for each class")
    parser.add_argument(
        "--groups", type=Path, metavar="CSV", help="image, group, group_source (default: groups.csv beside DIR)"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder of the report")
    parser.add_argument(
        "--slices", type=int, default=300, metavar="N", help="slices to copy, one of a group (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all random choices (default: %(default)s)")
    parser.add_argument("--scale", type=int, metavar="N", help="time a search of N by N pictures instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
