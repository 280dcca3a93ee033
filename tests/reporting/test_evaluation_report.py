from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braintumor_ext.classes import CLASSES
from braintumor_ext.metrics import SliceRecord, read_records
from braintumor_ext.reporting import write_evaluation
from tests.report_files import read_strict_json, read_tables

FILES = {"metrics.json", "per_image.csv", "report.md", "confusion_matrix.png", "roc_curves.png", "reliability.png"}

GLIOMA = SliceRecord(
    "glioma/a|b.jpg", "g1", 0, (0.7, 0.1, 0.1, 0.1), True, 10, 9, 0.75, 0.6, 4.0, "mm", (0.5, 0.5), ("upscaled",)
)
EMPTY = SliceRecord("no_tumor/a.jpg", None, 3, (0.4, 0.3, 0.2, 0.1), mask_known=True, pred_area_px=5, dice=0.0, iou=0.0)
UNKNOWN = SliceRecord("who/knows.png", None, -1, (0.1, 0.2, 0.3, 0.4))


def evaluate(records: list[SliceRecord], folder: Path, **options: object) -> dict:
    return write_evaluation(records, folder, CLASSES, n_draws=40, **options)  # type: ignore[arg-type]


def test_all_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    evaluate([GLIOMA, EMPTY, UNKNOWN], tmp_path / "new" / "folder")
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == FILES
    for name in FILES:
        if name.endswith(".png"):
            assert np.asarray(Image.open(tmp_path / "new" / "folder" / name)).std() > 0


def test_json_is_what_was_returned_without_any_nan(tmp_path: Path) -> None:
    returned = evaluate([GLIOMA, EMPTY], tmp_path, context={"checkpoint": Path("model.pt"), "loss": float("nan")})
    assert read_strict_json(tmp_path / "metrics.json") == returned
    assert returned["context"] == {"checkpoint": "model.pt", "loss": None}
    assert returned["per_class"]["pituitary"]["roc_auc"] == {"value": None, "ci95": None}


def test_table_holds_each_slice_once_sorted_by_its_path(tmp_path: Path) -> None:
    evaluate([UNKNOWN, EMPTY, GLIOMA], tmp_path)
    read = read_records(tmp_path / "per_image.csv", CLASSES)
    assert list(map(repr, read)) == list(map(repr, [GLIOMA, EMPTY, UNKNOWN]))


def test_report_tells_context_baselines_and_the_distance_to_them(tmp_path: Path) -> None:
    baselines = {"nearest_neighbour": {"accuracy": 0.3, "n": 2}, "file_properties": {"accuracy": None, "n": 0}}
    evaluate([GLIOMA, EMPTY], tmp_path, trivial_baselines=baselines, title="Test split", context={"split": "test"})
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# Test split\n")
    assert "- split: test" in report
    # One of two slices is right: accuracy 0.5, 0.2 above the baseline.
    assert "0.300 (n = 2); the model: +0.200" in report
    assert "40 draws of 2 groups, seed 0" in report
    assert "4.0, median 4.0 (n = 1)" in report
    assert "1.000: 1 of 1" in report
    assert "nan" not in report.lower().replace("pituitary", "")


def test_a_name_with_a_pipe_stays_in_its_cell(tmp_path: Path) -> None:
    evaluate([GLIOMA, EMPTY, UNKNOWN], tmp_path, trivial_baselines={"odd|name": {"accuracy": 0.1}})
    tables = read_tables((tmp_path / "report.md").read_text(encoding="utf-8"))
    assert tables[0][2] == [r"trivial baseline: odd\|name", "0.100; the model: +0.400"]


@pytest.mark.parametrize(
    "records",
    [
        [GLIOMA],
        [EMPTY],
        [UNKNOWN],
        [replace(GLIOMA, image=f"{i}.png", group=f"g{i}") for i in range(4)],
        [replace(EMPTY, image=f"{i}.png", mask_known=False, dice=float("nan")) for i in range(4)],
        [replace(GLIOMA, image=f"{i}.png", group=f"g{i}", pred_area_px=0, hd95=float("nan")) for i in range(3)],
    ],
    ids=["one tumour", "one empty", "one unknown", "one class", "no mask", "all missed"],
)
@pytest.mark.filterwarnings("error")
def test_sparse_evaluations_are_reported_without_a_warning(records: list[SliceRecord], tmp_path: Path) -> None:
    evaluate(records, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_an_earlier_evaluation_is_replaced_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    evaluate([GLIOMA, EMPTY], tmp_path, title="first")
    evaluate([GLIOMA], tmp_path, title="second")
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["slices"]["total"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "notes.txt"}
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_refused_evaluation_leaves_the_earlier_one_as_it_was(tmp_path: Path) -> None:
    evaluate([GLIOMA, EMPTY], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="not 4 finite numbers"):
        evaluate([replace(GLIOMA, probabilities=(float("nan"),) * 4)], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_same_evaluation_writes_the_same_bytes(tmp_path: Path) -> None:
    evaluate([GLIOMA, EMPTY], tmp_path / "a")
    evaluate([EMPTY, GLIOMA], tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
