"""What an inference is made with and of, ``run.json``, and which of its rows another run may go on with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.errors import InputError
from braintumor_ext.files import state_of, write_text
from braintumor_ext.inference.mask_files import PNG_FORMAT
from braintumor_ext.inference.prediction_table import PredictionTable
from braintumor_ext.jsonable import jsonable
from braintumor_ext.keys import IMAGE, SLICE
from braintumor_ext.plain_text import csv_cell


@dataclass(frozen=True)
class RunRecord:
    """The settings that rows depend on, and each file's size in bytes, time of change in ns, and wanted slices."""

    settings: dict[str, Any]
    inputs: dict[str, Any]

    @classmethod
    def of(cls, settings: Mapping[str, Any], data: Sequence[Mapping[str, Any]]) -> RunRecord:
        """Return the record of a run."""
        inputs: dict[str, Any] = {}
        for item in data:
            if item["name"] not in inputs:
                size, changed = state_of(item[IMAGE]) or (None, None)  # of a file that is gone reading it will tell
                inputs[item["name"]] = {"bytes": size, "modified_ns": changed, "slices": []}
            if SLICE in item:
                inputs[item["name"]]["slices"].append(int(item[SLICE]))
        return cls(jsonable(settings), inputs)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> RunRecord:
        """Return the record that ``write`` wrote.

        Raises:
            InputError: there is none, or it is damaged.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(dict(content["settings"]), dict(content["inputs"]))
        except (OSError, ValueError, TypeError, KeyError) as error:
            problem = f"cannot be read ({type(error).__name__}), so what the table beside it was made with is not known"
            raise InputError(path, problem, "Give --resume false to start anew, or another --output_dir") from error

    def write(self, path: str | PathLike[str]) -> None:
        """Write the record, whole or not at all."""
        write_text(path, json.dumps(vars(self), indent=1) + "\n")

    def check_settings(self, earlier: RunRecord, path: str | PathLike[str]) -> None:
        """Refuse to go on with rows that were made otherwise.

        Raises:
            InputError: a setting differs; it is named with both values.
        """
        for name in sorted({*self.settings, *earlier.settings}):
            now, then = self.settings.get(name), earlier.settings.get(name)
            if now != then:
                problem = f"was begun with {name} {_shown(then)}, and this run has {_shown(now)}"
                remedy = "Give the same to go on, --resume false to start anew, or another --output_dir"
                raise InputError(path, problem, remedy)

    def unchanged(self, earlier: RunRecord) -> set[str]:
        """Return the names of the files that are as they were, of which the same slices are asked for."""
        return {name for name, state in self.inputs.items() if earlier.inputs.get(name) == state}


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
        unchanged: the names of the inputs that are as they were.
        output_format: as for :class:`~braintumor_ext.inference.mask_files.MaskFiles`.
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
