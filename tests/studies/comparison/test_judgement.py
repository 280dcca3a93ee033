from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import sem

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.metrics import SliceRecord, write_records
from studies.comparison import compare_runs, judge, render_judgement

CLASSES = Classes(("tumor", "no_tumor"), empty="no_tumor")


def run(fold: int, right: int, dice: float = 0.5) -> list[SliceRecord]:
    """Ten slices, five of each class, of which so many of each class are right; the tumours have masks."""
    records = []
    for number in range(10):
        true = number % 2
        predicted = true if number // 2 < right else 1 - true
        masks = {"mask_known": True, "true_area_px": 4, "pred_area_px": 4, "dice": dice} if true == 0 else {}
        records.append(SliceRecord(f"{fold}-{number}.png", None, true, tuple(np.eye(2)[predicted].tolist()), **masks))
    return records


def test_gain_and_standard_error_by_hand() -> None:
    # so many of five of each class right: accuracy = macro F1 = right / 5, by symmetry
    before = {f"fold{k}": run(k, right, 0.5) for k, right in enumerate((2, 3, 4))}
    after = {f"fold{k}": run(k, right, 0.5 + gain) for k, (right, gain) in enumerate(((3, 0.1), (3, 0.3), (5, 0.0)))}
    found = judge(before, after, 2)
    assert found["gains"]["accuracy"]["values"] == pytest.approx([0.2, 0.0, 0.2])
    assert found["gains"]["dice"]["values"] == pytest.approx([0.1, 0.3, 0.0])
    score = np.array([0.15, 0.15, 0.1])  # (gain of macro F1 + gain of Dice) / 2
    assert found["gains"]["score"]["values"] == pytest.approx(score)
    assert found["gains"]["score"]["mean"] == pytest.approx(score.mean())
    assert found["gains"]["score"]["standard_error"] == pytest.approx(sem(score))
    assert found["kept"] is True
    assert found["pairs"][0]["scores"]["accuracy"] == pytest.approx([0.4, 0.6])


def test_where_one_side_has_no_masks_the_score_is_of_the_classes_on_both() -> None:
    before = {f"fold{k}": run(k, 4, 0.1) for k in range(3)}
    after = {f"fold{k}": [replace(r, mask_known=False, dice=float("nan")) for r in run(k, 3)] for k in range(3)}
    found = judge(before, after, 2)  # classes got worse; the mean of 0.8 and 0.1 lies below 0.6, and tells nothing
    assert found["gains"]["score"]["values"] == pytest.approx([-0.2] * 3)
    assert found["kept"] is False


@pytest.mark.parametrize(
    ("gains", "kept"),
    [
        ((1, 1, 1), True),
        ((0, 0, 1), False),  # mean 1/3 of a step, standard error 1/3 of a step: no more than it
        ((0, 1, 1), True),  # 2/3 against 1/3
        ((-1, -1, -1), False),
        ((0, 0, 0), False),
        ((1, 1), None),
    ],
)
def test_the_rule(gains: tuple[int, ...], kept: bool | None) -> None:
    before = {str(k): run(k, 3) for k in range(len(gains))}
    after = {str(k): run(k, 3 + gain) for k, gain in enumerate(gains)}
    assert judge(before, after, 2)["kept"] is kept


def test_runs_are_paired_by_their_slices_whatever_their_order() -> None:
    before = {"a": run(0, 1), "b": run(1, 2), "c": run(2, 3)}
    after = {"z": run(2, 4), "y": list(reversed(run(0, 2))), "x": run(1, 3)}
    found = judge(before, after, 2)
    assert [(pair["before"], pair["after"]) for pair in found["pairs"]] == [("a", "y"), ("b", "x"), ("c", "z")]
    assert found["gains"]["accuracy"]["values"] == pytest.approx([0.2] * 3)


def test_several_seeds_of_one_split_are_paired_in_order() -> None:
    found = judge({"s0": run(0, 1), "s1": run(0, 2)}, {"t0": run(0, 3), "t1": run(0, 5)}, 2)
    assert found["gains"]["accuracy"]["values"] == pytest.approx([0.4, 0.6])


def test_a_run_without_partner_is_named() -> None:
    with pytest.raises(InputError, match=r"fold1.*with the change"):
        judge({"fold0": run(0, 1), "fold1": run(1, 1)}, {"other0": run(0, 1)}, 2)
    with pytest.raises(InputError, match=r"other1.*without the change"):
        judge({"fold0": run(0, 1)}, {"other0": run(0, 1), "other1": run(1, 1)}, 2)


def test_another_truth_is_named() -> None:
    changed = [replace(run(0, 1)[0], true_class=1), *run(0, 1)[1:]]
    with pytest.raises(InputError, match=r"later.*0-0\.png"):
        judge({"fold0": run(0, 1)}, {"later": changed}, 2)


def test_class_only_networks_are_judged_by_their_classes() -> None:
    plain = [[replace(r, mask_predicted=False) for r in run(k, right)] for k, right in ((0, 2), (1, 2), (2, 2))]
    better = [[replace(r, mask_predicted=False) for r in run(k, 3)] for k in range(3)]
    found = judge(dict(zip("abc", plain, strict=True)), dict(zip("abc", better, strict=True)), 2)
    assert found["gains"]["score"]["mean"] == pytest.approx(0.2)
    assert found["gains"]["dice"] == {"mean": None, "standard_error": None, "values": []}
    assert "| – |" in render_judgement(found, "T")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders: dict[str, list[str]] = {"a": [], "b": []}
    for side, right in (("a", 2), ("b", 4)):
        for fold in range(3):
            folder = tmp_path / f"{side}-fold{fold}" / "validation"
            folder.mkdir(parents=True)
            write_records(run(fold, right), folder / "per_image.csv", CLASSES)
            folders[side].append(str(folder))
    output = tmp_path / "out"
    options = ["--class_names", *CLASSES, "--title", "Of a test", "--output", str(output)]
    assert compare_runs.main(["--without", *folders["a"], "--with", *folders["b"], *options]) == 0
    told = capsys.readouterr().out
    assert told.startswith("# Of a test")
    assert "a-fold1 → b-fold1" in told
    assert "**kept**" in told
    assert (output / "judgement.md").read_text(encoding="utf-8") in told
    gain = json.loads((output / "judgement.json").read_text(encoding="utf-8"))["gains"]["accuracy"]["mean"]
    assert gain == pytest.approx(0.4)

    assert compare_runs.main(["--without", folders["a"][0], "--with", str(tmp_path / "none.csv"), *options]) == 2
    assert "none.csv" in capsys.readouterr().err
