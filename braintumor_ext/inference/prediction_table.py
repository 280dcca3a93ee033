"""``predictions.csv``: a line for each slice, whole at any moment."""

from __future__ import annotations

import csv
import io
import math
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing
from braintumor_ext.keys import SLICE
from braintumor_ext.plain_text import csv_cell, csv_row, csv_text
from braintumor_ext.prediction import Prediction


class PredictionTable:
    """The rows of an inference in a CSV file, to which each is added as it comes: a kill leaves those so far.

    What is not known is blank. No cell holds a line break, bytes that are no text, or a formula (see
    :func:`~braintumor_ext.plain_text.csv_cell`).
    """

    def __init__(self, path: str | PathLike[str], classes: Classes) -> None:
        self.path = Path(path)
        shares = (f"p_{name}" for name in classes)
        places = ("area_px", "area_mm2", "flags", "error", "mask", "overlay")
        self.columns = ["file", "slice", "class", *shares, *places]
        self._file: BinaryIO | None = None
        self._late: deque[Mapping[str, Any]] = deque()

    def row(self, item: Mapping[str, Any], prediction: Prediction) -> dict[str, Any]:
        """Return a slice's row as it is before anything is written."""
        row: dict[str, Any] = dict.fromkeys(self.columns)
        row |= {"file": item["name"], "slice": item.get(SLICE), "class": prediction.label}
        row |= {"flags": "; ".join(prediction.flags), "error": prediction.error or ""}
        row |= {f"p_{name}": round(share, 6) for name, share in (prediction.probabilities or {}).items()}
        if prediction.mask is not None:
            row["area_px"] = int(prediction.mask.sum())
            if prediction.spacing is not None:
                row["area_mm2"] = round(row["area_px"] * math.prod(prediction.spacing), 3)
        return row

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the file anew, whole or not at all; it is closed to further rows."""
        self.close()
        with replacing(self.path) as partial:
            partial.write_bytes(self._lines([dict(zip(self.columns, self.columns, strict=True)), *rows]))

    def begin(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Write the file anew with some rows, open to more."""
        self.write(rows)
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  # until close()

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to the file, each at once and whole; those that could not be added before come first.

        Raises:
            OSError: the disk is full, for one; the rows before are kept.
        """
        self._late.extend(rows)
        while self._late:
            assert self._file is not None
            size, left = os.fstat(self._file.fileno()).st_size, memoryview(self._lines([self._late[0]]))
            try:
                while left:
                    left = left[self._file.write(left) :]
            except OSError:
                self._file.truncate(size)  # no half a line that the next one would join
                raise
            self._late.popleft()

    def close(self) -> None:
        """Close the file to further rows."""
        self._late.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self) -> list[dict[str, Any]]:
        """Return the rows of the file; ``file`` is as it is shown there, all else as it was written.

        A last line that breaks off is left out.

        Raises:
            InputError: the file is not as an inference of these classes has left it.
        """
        text = self.path.read_bytes().decode("utf-8", errors="replace")
        reader = csv.reader(io.StringIO(text[: text.rfind("\r\n") + 2], newline=""))
        if next(reader, None) != [csv_cell(name) for name in self.columns]:
            raise self._changed("its first line names other columns")
        rows = []
        for number, cells in enumerate(reader, start=2):
            try:
                pairs = zip(self.columns, cells, strict=True)
                rows.append({column: self._value(column, cell) for column, cell in pairs})
            except ValueError as error:
                raise self._changed(f"line {number}: {error}") from error
        return rows

    def _changed(self, problem: str) -> InputError:
        remedy = "Give --resume false to start anew (this table is renamed), or another --output_dir"
        return InputError(self.path, f"is no table that can be gone on with ({problem})", remedy)

    def _value(self, column: str, cell: str) -> Any:
        if column in ("flags", "error"):
            return csv_text(cell)
        if column == "file":
            return cell
        if cell == "":
            return None
        if column in ("slice", "area_px"):
            return int(cell)
        return float(cell) if column == "area_mm2" or column.startswith("p_") else csv_text(cell)

    def _lines(self, rows: Iterable[Mapping[str, Any]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(csv_row(row[name] for name in self.columns) for row in rows)
        return text.getvalue().encode("utf-8")
