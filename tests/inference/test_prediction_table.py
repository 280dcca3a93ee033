"""The table that holds each row once it is there."""

from __future__ import annotations

import resource

import pytest

from braintumor_ext.classes import Classes
from braintumor_ext.inference.prediction_table import PredictionTable
from braintumor_ext.prediction import Prediction

CLASSES = Classes(("a", "b"))


def test_rows_that_found_no_space_are_never_passed_over(tmp_path):
    table = PredictionTable(tmp_path / "predictions.csv", CLASSES)
    rows = [table.row({"name": name}, Prediction(name)) for name in ("first", "second", "x" * 300, "fourth", "fifth")]
    table.begin(rows[:1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "predictions.csv").stat().st_size + 100, before[1]))
    try:
        for some in (rows[1:3], rows[3:4]):  # of which the second fits, then the fourth alone would
            with pytest.raises(OSError, match="File too large"):
                table.append(some)
            assert [row["file"] for row in table.read()] == ["first", "second"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    table.append(rows[4:])
    assert [row["file"] for row in table.read()] == ["first", "second", "x" * 300, "fourth", "fifth"]
    table.close()
