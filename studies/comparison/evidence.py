"""What a comparison's table rests on, without weights and logs: small enough to be published beside it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.keys import IMAGE
from studies.comparison.report import FILES
from studies.comparison.run_plan import RUN_JSON

PREDICTIONS = ("validation/per_image.csv", "test/per_image.csv")


def copy_evidence(
    output_dir: str | PathLike[str], target_dir: str | PathLike[str], names: Mapping[str, str]
) -> list[Path]:
    """Copy a comparison's tables and, of each finished run, settings, cost and predictions.

    ``compare --resume`` and ``--table_only`` go on from the copy as from the comparison: its runs count as finished.
    Runs that are in the copy already and not in the comparison stay.

    Args:
        output_dir: the comparison.
        target_dir: the copy, made if it does not exist.
        names: of :func:`~studies.comparison.splits.portable_names`: the copy names no folder of this machine.

    Returns:
        The folders of the runs that were copied.

    Raises:
        InputError: the two are the same folder.
    """
    source, target = Path(output_dir), Path(target_dir)
    if source.resolve() == target.resolve():
        raise InputError(target, "is the comparison itself", "Give another folder for the copy")
    runs = sorted(path.parent for path in source.glob(f"runs/*/{RUN_JSON}"))
    whole = [*FILES, *(str((run / RUN_JSON).relative_to(source)) for run in runs)]
    for name in whole:
        if (source / name).is_file():
            with replacing(target / name) as path:
                shutil.copyfile(source / name, path)
    for name in (str((run / predictions).relative_to(source)) for run in runs for predictions in PREDICTIONS):
        if (source / name).is_file():
            with replacing(target / name) as path:
                _copy_predictions(source / name, path, names)
    return [target / run.relative_to(source) for run in runs]


def _copy_predictions(source: Path, target: Path, names: Mapping[str, str]) -> None:
    """Copy an evaluation's table, every image under its other name."""
    with source.open(newline="", encoding="utf-8") as read, target.open("w", newline="", encoding="utf-8") as written:
        reader = csv.DictReader(read)
        writer = csv.DictWriter(written, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, IMAGE: names.get(row[IMAGE], row[IMAGE])} for row in reader)
