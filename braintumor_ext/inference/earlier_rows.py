"""The rows of an earlier inference that need not be made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from braintumor_ext.inference.mask_files import PNG_FORMAT
from braintumor_ext.inference.prediction_table import PredictionTable
from braintumor_ext.keys import SLICE
from braintumor_ext.plain_text import csv_cell


def rows_to_keep(
    folder: Path,
    tables: Iterable[PredictionTable],
    data: Sequence[Mapping[str, Any]],
    unchanged: Collection[str],
    output_format: str | None,
    overlays: bool,
) -> dict[int, dict[str, Any]]:
    """Return the rows without an error, of unchanged inputs, whose files are all there, by their index into ``data``.

    Args:
        folder: what the paths in rows begin at.
        tables: those of all the earlier run's processes.
        data: the items of this run.
        unchanged: the names of the inputs that are as they were.
        output_format: what masks are written as; None for each input's own format.
        overlays: whether each row needs its overlay.
    """

    def is_done(row: Mapping[str, Any]) -> bool:
        wanted = [row["mask"], row["overlay"]] if overlays else [row["mask"]]
        return not row["error"] and all(path and (folder / path).is_file() for path in wanted)

    there = {(row["file"], row["slice"]): row for table in tables for row in table.read() if is_done(row)}
    keys = [(csv_cell(item["name"]), item.get(SLICE)) for item in data]
    uses = Counter(keys)  # two names may look the same in the table: neither is kept
    kept = {
        index: {**there[key], "file": data[index]["name"]}
        for index, key in enumerate(keys)
        if key in there and uses[key] == 1 and data[index]["name"] in unchanged
    }
    # A mask that other slices will be part of, which are to be predicted yet, is made anew.
    missing = [item for index, item in enumerate(data) if index not in kept]
    whole = {item["name"] for item in missing if SLICE in item and output_format != PNG_FORMAT}
    return {
        index: row
        for index, row in kept.items()
        # Which series a slice belongs to is not known before it is read.
        if row["file"] not in whole and not (missing and str(row["mask"]).endswith(".dcm"))
    }
