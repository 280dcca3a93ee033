"""``run.json``: what an inference is made with and of, so that another run can tell whether it may go on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.jsonable import jsonable
from braintumor_ext.keys import IMAGE, SLICE


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
                inputs[item["name"]] = {**_state(item[IMAGE]), "slices": []}
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
        with replacing(path) as partial:
            partial.write_text(json.dumps(vars(self), indent=1) + "\n", encoding="utf-8")

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


def _state(path: Any) -> dict[str, Any]:
    try:
        status = Path(path).stat()
    except (OSError, TypeError):  # gone, which reading it will tell; or no file
        return {"bytes": None, "modified_ns": None}
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
