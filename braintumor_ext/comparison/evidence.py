"""What a comparison's table rests on, without weights and logs: small enough to be published beside it."""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path

from braintumor_ext.comparison.report import FILES
from braintumor_ext.comparison.run_plan import RUN_JSON
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing

EVIDENCE = (RUN_JSON, "validation/per_image.csv", "test/per_image.csv")
"""A run's files from which the table is made: settings and cost, and the answers to every slice."""


def copy_evidence(output_dir: str | PathLike[str], target_dir: str | PathLike[str]) -> list[Path]:
    """Copy a comparison's tables and, of each finished run, settings, cost and answers.

    ``compare --resume`` and ``--table_only`` go on from the copy as from the comparison: its runs count as finished.
    Runs that are in the copy already and not in the comparison stay.

    Args:
        output_dir: the comparison.
        target_dir: the copy, made if it does not exist.

    Returns:
        The folders of the runs that were copied.

    Raises:
        InputError: the two are the same folder.
    """
    source, target = Path(output_dir), Path(target_dir)
    if source.resolve() == target.resolve():
        raise InputError(target, "is the comparison itself", "Give another folder for the copy")
    runs = sorted(path.parent for path in source.glob(f"runs/*/{RUN_JSON}"))
    names = [*FILES, *(str((run / name).relative_to(source)) for run in runs for name in EVIDENCE)]
    for name in names:
        if (source / name).is_file():
            with replacing(target / name) as path:
                shutil.copyfile(source / name, path)
    return [target / run.relative_to(source) for run in runs]
