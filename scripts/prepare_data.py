"""Prepare a folder of brain MRI slices: a fixed split, a datalist that MONAI reads, and a report on the data."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from braintumor_ext.classes import CLASSES, FOLDER_NAMES, Classes
from braintumor_ext.data.data_report import copies_warning, extra_line
from braintumor_ext.data.prepare import PROTOCOLS, prepare
from braintumor_ext.data.split import SECTIONS
from braintumor_ext.errors import InputError, disk_full


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: ``arguments``, by default ``sys.argv``.

    Returns:
        The exit code: 0; 1 where something was left out (the rest is prepared); 2 where nothing could be prepared.
    """
    options = _parser().parse_args(arguments)
    try:
        done = prepare(
            options.images,
            options.output,
            masks=options.masks,
            groups=options.groups,
            protocol=options.protocol,
            split_seed=options.split_seed,
            size=options.size,
            classes=Classes(tuple(map(str.strip, options.class_names.split(","))), options.empty_class),
            folder_table={**FOLDER_NAMES, **_read_folder_map(options.folder_map)},
            overwrite=options.overwrite,
            extra=options.extra,
            extra_masks=options.extra_masks,
            extra_groups=options.extra_groups,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if (full := disk_full(error)) is None:
            raise
        remedy = "Make room, or give another --output, and run it again."
        print(f"error: {full.filename or options.output}: {full.strerror}. {remedy}", file=sys.stderr)
        return 2
    for problem in done.left_out:
        print(f"left out: {problem}", file=sys.stderr)
    for note in done.report["notes"]:
        print(f"note: {note}", file=sys.stderr)
    if (warning := copies_warning(done.report["copies"])) is not None:
        print(f"warning: {warning}", file=sys.stderr)
    counts = done.report["counts"]["all"]
    print(f"{done.datalist}: " + ", ".join(f"{counts[name]:,} {name}" for name in SECTIONS))
    if (extra := done.report["extra"]) is not None:
        print(extra_line(extra))
    for section, baseline in done.report["trivial_baselines"].items():
        if baseline:
            print(
                f"baselines on {section}: nearest neighbour {baseline['nearest_neighbour']['accuracy']:.3f}, "
                f"file properties {baseline['file_properties']['accuracy']:.3f}"
            )
    print(f"report: {done.datalist.with_name('data_report.md')}")
    return 1 if done.left_out else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.prepare_data", description=__doc__)
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="one folder for each class, or Training (and Testing) that hold those",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DATASET_DIR", help="folder to write")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="tumour masks: the same folders and stems")
    parser.add_argument("--groups", type=Path, metavar="FILE.csv", help="columns image,group (image: folder/file)")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="grouped",
        help="grouped: a patient's slices stay together; random: stratified 70/15/15; external: all to test; given: "
        "keep Training and Testing (default: %(default)s)",
    )
    parser.add_argument("--split-seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--size", type=int, metavar="N", help="write compact copies with this short side in pixels")
    parser.add_argument(
        "--class_names",
        "--class-names",
        default=",".join(CLASSES),
        metavar="A,B,...",
        help="the classes in the order of their indices (default: %(default)s)",
    )
    parser.add_argument(
        "--empty_class",
        "--empty-class",
        default=CLASSES.empty,
        metavar="NAME|none",
        help="the class without tumour: its masks are empty by definition (default: %(default)s)",
    )
    parser.add_argument(
        "--folder-map", type=Path, metavar="FILE.json", help='further folder names: {"my folder": "glioma", ...}'
    )
    parser.add_argument(
        "--extra",
        type=Path,
        metavar="DIR",
        help="further slices for training only, in the same layout: a section `extra` of those whose group is in "
        "neither validation nor test",
    )
    parser.add_argument("--extra-masks", "--extra_masks", type=Path, metavar="DIR", help="their tumour masks")
    parser.add_argument(
        "--extra-groups",
        "--extra_groups",
        type=Path,
        metavar="FILE.csv",
        help="their groups, by the same names as in --groups",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another datalist in DATASET_DIR; the old one is renamed"
    )
    return parser


def _read_folder_map(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {re.sub(r"[\s\-]+", "_", folder.strip().lower()): str(name) for folder, name in table.items()}
    except (OSError, ValueError, AttributeError) as error:
        remedy = 'Write a JSON object such as {"my folder": "glioma"}'
        raise InputError(path, f"cannot be read as a folder map ({error})", remedy) from error


if __name__ == "__main__":
    sys.exit(main())
