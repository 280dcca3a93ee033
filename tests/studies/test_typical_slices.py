"""The sheet of typical slices: those at the quartiles of Dice, drawn by the evaluated checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from braintumor_ext.classes import CLASSES
from braintumor_ext.metrics import SliceRecord
from studies import typical_slices as command
from studies.evaluated_slices import EvaluatedSlice
from studies.typical_slices import typical_slices

pytestmark = pytest.mark.slow


def scored(name: str, class_name: str, dice: float, known: bool = True, area: int = 9) -> EvaluatedSlice:
    record = SliceRecord(name, None, CLASSES.index(class_name), (0.25,) * 4, known, area, dice=dice)
    return EvaluatedSlice(record, Path(name), name, 8, 8, "")


def test_of_five_slices_in_any_order_the_second_and_the_fourth_by_dice_are_typical() -> None:
    glioma = [scored(f"g{dice}", "glioma", dice) for dice in (0.9, 0.0, 0.7, 0.2, 0.6)]
    others = [scored("m", "meningioma", 0.5), scored("unknown", "glioma", 0.1, known=False)]
    empty = scored("n", "no_tumor", 0.0, area=0)
    assert [s.source for s in typical_slices([*others, empty, *glioma], CLASSES)] == ["g0.2", "g0.7", "m", "m"]


def test_the_command_draws_two_slices_of_each_tumour_class(
    evaluation: Path, phantoms: Path, example_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--evaluation", str(evaluation), "--dataset_dir", str(phantoms / "dataset"), "--device", "cpu"]
    arguments += ["--checkpoint_dir", str(example_models), "--output", str(tmp_path / "sheets" / "typical.jpg")]
    assert command.main(arguments) == 0
    *named, _ = capsys.readouterr().out.splitlines()
    with Image.open(tmp_path / "sheets" / "typical.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.width == 2 * command.WIDTH
    assert 0 < len(named) <= 6
    assert not any("no_tumor" in line for line in named)
    # The phantoms' patients are not known from a table: with one, nothing is left to draw.
    assert command.main([*arguments, "--groups", str(phantoms / "images" / "groups.csv")]) == 2
    assert "no pictures" in capsys.readouterr().err


def test_another_checkpoint_than_the_evaluated_one_is_refused(
    evaluation: Path, phantoms: Path, released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--evaluation", str(evaluation), "--dataset_dir", str(phantoms / "dataset"), "--device", "cpu"]
    assert command.main([*arguments, "--checkpoint_dir", str(released), "--output", str(tmp_path / "a.jpg")]) == 2
    assert "is another checkpoint than the one" in capsys.readouterr().err
    assert not (tmp_path / "a.jpg").exists()
