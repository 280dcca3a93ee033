from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from braintumor_ext.classes import CLASSES
from braintumor_ext.errors import InputError
from braintumor_ext.metrics import SliceRecord, read_records, write_records

NO_TUMOR = 3

FULL = SliceRecord(
    image="glioma/gg (1), left.jpg",
    group="g0001",
    true_class=0,
    probabilities=(0.1 + 0.2, 0.2, 0.3, 0.2),
    mask_known=True,
    true_area_px=120,
    pred_area_px=100,
    dice=2 / 3,
    iou=0.5,
    hd95=4.25,
    hd95_unit="mm",
    spacing=(0.667, 0.7),
    flags=("upscaled", "constant"),
)
BARE = SliceRecord(image="x.png", group=None, true_class=-1, probabilities=(0.0, 0.1, 0.2, 0.7))


def test_predicted_class_and_confidence_are_those_of_the_highest_probability() -> None:
    assert (BARE.predicted_class, BARE.confidence) == (3, 0.7)


@pytest.mark.parametrize(("empty", "area"), [("no_tumor", 0), ("glioma", 55), (None, 55)])
def test_gating_removes_the_mask_only_where_the_empty_class_is_predicted(empty: str | None, area: int) -> None:
    assert replace(BARE, pred_area_px=55).gated_area_px(replace(CLASSES, empty=empty)) == area


def test_a_table_gives_back_the_very_records_it_was_written_from(tmp_path: Path) -> None:
    known_empty = replace(BARE, image="y.png", mask_known=True)
    path = tmp_path / "per_image.csv"
    write_records([FULL, BARE, known_empty], path, CLASSES)
    # NaN is not equal to itself: the representations are compared.
    assert list(map(repr, read_records(path, CLASSES))) == list(map(repr, [FULL, BARE, known_empty]))


def test_the_unknown_is_blank_in_a_row() -> None:
    row = BARE.to_row(CLASSES)
    assert [row[name] for name in ("true_class", "group", "true_area_px", "dice", "hd95", "row_mm")] == [""] * 6
    assert row["predicted_class"] == "no_tumor"
    assert row["p_no_tumor"] == "0.7"


def test_a_table_of_other_classes_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "per_image.csv"
    write_records([FULL], path, CLASSES)
    with pytest.raises(InputError, match=r"per_image\.csv: not a table of the classes benign, malignant"):
        read_records(path, ("benign", "malignant"))


def test_a_network_without_masks_leaves_their_areas_blank() -> None:
    record = replace(BARE, mask_predicted=False)
    row = record.to_row(CLASSES)
    assert (row["pred_area_px"], row["gated_area_px"], row["dice"]) == ("", "", "")
    assert SliceRecord.from_row(row, CLASSES).mask_predicted is False
