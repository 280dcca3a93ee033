"""Where a checkpoint fails: accuracies counted by hand, and the report of an evaluation."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.errors import InputError
from braintumor_ext.metrics import SliceRecord
from studies.evaluated_slices import EvaluatedSlice, read_evaluated
from studies.known_failures import __main__ as command
from studies.known_failures import known_failures, worst_errors
from tests.studies.conftest import read

pytestmark = pytest.mark.slow


def evaluated(number, true, predicted, group, source="patient", size=(512, 512), confidence=0.7, path="gone.png"):
    """A slice of class ``true`` that was called ``predicted`` with some confidence."""
    shares = [(1 - confidence) / 3] * 4
    shares[CLASSES.index(predicted)] = confidence
    record = SliceRecord(f"{number}.png", group, CLASSES.index(true) if true else -1, tuple(shares))
    return EvaluatedSlice(record, Path(path), f"{true}/{number}.png", *size, "", None, source)


SLICES = [
    evaluated(0, "glioma", "glioma", "a"),
    evaluated(1, "glioma", "glioma", "a"),
    evaluated(2, "glioma", "meningioma", "b", confidence=0.9),
    evaluated(3, "meningioma", "glioma", "c", "similarity", (300, 200), confidence=0.6),
    evaluated(4, "no_tumor", "no_tumor", "d", "similarity", (200, 200)),
    evaluated(5, "no_tumor", "glioma", "e", "similarity", confidence=0.8),
    evaluated(6, None, "glioma", "f"),
]


def test_accuracy_is_counted_by_class_and_source():
    content = known_failures(SLICES, CLASSES, n_draws=200)
    assert (content["slices"], content["groups"]) == (6, 5)
    counts = {
        part: {name: (row["n"] - row["errors"], row["n"], row["groups"]) for name, row in rows.items() if row["n"]}
        for part, rows in content["parts"].items()
    }
    assert counts == {
        "all slices": {"all": (3, 6, 5), "glioma": (2, 3, 2), "meningioma": (0, 1, 1), "no_tumor": (1, 2, 2)},
        "patient known": {"all": (2, 3, 2), "glioma": (2, 3, 2)},
        "patient unknown, near-duplicates grouped": {
            "all": (1, 3, 3),
            "meningioma": (0, 1, 1),
            "no_tumor": (1, 2, 2),
        },
        "512x512": {"all": (2, 4, 3), "glioma": (2, 3, 2), "no_tumor": (0, 1, 1)},
        "another size": {"all": (1, 2, 2), "meningioma": (0, 1, 1), "no_tumor": (1, 1, 1)},
    }
    glioma = content["parts"]["all slices"]["glioma"]
    assert glioma["value"] == pytest.approx(2 / 3)
    assert glioma["ci95"] == [0.0, 1.0]  # of two groups one is right and one is wrong
    assert content["parts"]["all slices"]["meningioma"]["ci95"] is None  # one group has no interval
    assert content["confusions"][0] == {"true": "glioma", "predicted": "meningioma", "n": 1}


def test_what_the_size_tells_and_how_the_model_does_where_it_misleads():
    rule = known_failures(SLICES, CLASSES, n_draws=50)["size_rule"]
    assert (rule["recall"], rule["precision"]) == (0.5, 0.5)
    right, wrong = rule["where_it_is_right"], rule["where_it_is_wrong"]
    assert (right["n"], right["errors"]) == (4, 1)
    assert (wrong["n"], wrong["errors"]) == (2, 2)
    assert known_failures(SLICES, Classes(CLASSES.names), n_draws=50)["size_rule"] is None


def test_ct_like_slices_are_told_where_the_images_are_at_hand(tmp_path):
    rows, columns = np.indices((128, 128)) - 63.5
    radius = np.hypot(rows, columns)
    ct = np.where(radius < 50, 90, 0) + np.where((radius < 50) & (radius > 42), 165, 0)
    for name, picture in (("ct", ct), ("mr", np.where(radius < 50, 120, 0))):
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / f"{name}.png")
    slices = [
        evaluated(0, "no_tumor", "glioma", "a", path=tmp_path / "ct.png"),
        evaluated(1, "no_tumor", "no_tumor", "b", path=tmp_path / "mr.png"),
        evaluated(2, "glioma", "glioma", "c", path=tmp_path / "ct.png"),
        evaluated(3, "no_tumor", "no_tumor", "d"),
    ]
    found = known_failures(slices, CLASSES, n_draws=50)["ct_like"]
    assert found["looked_at"] == 2
    assert (found["ct_like"]["n"], found["ct_like"]["errors"]) == (1, 1)
    assert known_failures(SLICES, CLASSES, n_draws=50)["ct_like"]["looked_at"] == 0


def test_the_surest_errors_come_first_and_an_unknown_class_is_none():
    assert [s.record.image for s in worst_errors(SLICES)] == ["2.png", "5.png", "3.png"]
    assert len(worst_errors(SLICES, 1)) == 1


def test_slices_without_a_class_cannot_be_judged():
    with pytest.raises(ValueError, match="no evaluated slice has a known class"):
        known_failures(SLICES[-1:], CLASSES)


def test_an_evaluations_slices_are_joined_with_the_data_set(evaluation, phantoms):
    groups = phantoms / "images" / "groups.csv"
    found = read_evaluated(evaluation, phantoms / "dataset", groups)
    with (evaluation / "per_image.csv").open(newline="") as file:
        assert len(found) == len(list(csv.DictReader(file)))
    for slice_ in found:
        assert slice_.path.is_file()
        assert (slice_.width, slice_.height, slice_.group_source) == (64, 64, "phantom")
        assert slice_.mask is not None
        assert slice_.mask.stem == slice_.path.stem
        assert slice_.source.endswith(slice_.path.name)


def test_the_command_reports_and_draws_the_errors(evaluation, phantoms, example_models, tmp_path):
    arguments = ["--evaluation", str(evaluation), "--dataset_dir", str(phantoms / "dataset"), "--device", "cpu"]
    arguments += ["--groups", str(phantoms / "images" / "groups.csv"), "--checkpoint_dir", str(example_models)]
    assert command.main([*arguments, "--worst", "3", "--output", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "known_failures.md").read_text()
    metrics, content = read(evaluation / "metrics.json"), read(tmp_path / "out" / "known_failures.json")
    accuracy = metrics["classification"]["accuracy"]
    assert content["parts"]["all slices"]["all"]["value"] == pytest.approx(accuracy["value"])
    assert metrics["context"]["checkpoint_sha256"] in text
    assert str(phantoms) not in text
    with Image.open(tmp_path / "out" / "known_failures.png") as sheet:
        assert sheet.width == 3 * 560


def test_the_sheet_is_refused_for_another_checkpoint(evaluation, phantoms, released, tmp_path, capsys):
    arguments = ["--evaluation", str(evaluation), "--dataset_dir", str(phantoms / "dataset"), "--device", "cpu"]
    assert command.main([*arguments, "--checkpoint_dir", str(released), "--output", str(tmp_path / "out")]) == 2
    assert "is another checkpoint than the one" in capsys.readouterr().err


def test_slices_that_extra_ones_copy_are_told_apart():
    """Of no tumour one is copied and right, one is not and wrong."""
    slices = [replace(s, copied=s.source == "no_tumor/4.png") for s in SLICES]
    parts = known_failures(slices, CLASSES, n_draws=200)["parts"]
    counts = {part: parts[part]["all"]["n"] for part in ("with a copy among the extra slices, left out", "without one")}
    assert counts == {"with a copy among the extra slices, left out": 1, "without one": 5}
    assert parts["without one"]["no_tumor"]["value"] == 0.0
    assert parts["without one"]["all"]["value"] == pytest.approx(2 / 5)


def test_planes_and_tumour_sizes_are_told_apart():
    """Shares of 512 x 512: 2,621 px are 1.0% rounded down, 2,622 are more; an unknown or an empty mask has no size."""

    def slice_(number, plane, area, dice, true="glioma", predicted="glioma"):
        found = evaluated(number, true, predicted, f"g{number}")
        record = replace(found.record, mask_known=True, true_area_px=area, dice=dice)
        return replace(found, record=record, plane=plane)

    slices = [
        slice_(0, "axial", 2621, 0.5),
        slice_(1, "axial", 2622, 0.7, predicted="meningioma"),
        slice_(2, "coronal", 7864, 0.9),
        slice_(3, "coronal", 7865, 0.8, true="meningioma", predicted="meningioma"),
        slice_(4, None, 0, np.nan),
        slice_(5, "axial", 0, 0.0, true="no_tumor", predicted="no_tumor"),
    ]
    content = known_failures(slices, CLASSES, n_draws=50)
    accuracy = {name: (rows["all"]["value"], rows["all"]["n"]) for name, rows in content["parts"].items()}
    assert accuracy["axial"] == pytest.approx((2 / 3, 3))
    assert accuracy["coronal"] == (1.0, 2)
    assert accuracy["tumour under 1% of the picture"] == (1.0, 1)
    assert accuracy["tumour 1 to 3% of the picture"] == (0.5, 2)
    assert accuracy["tumour over 3% of the picture"] == (1.0, 1)
    dice = {name: (rows["all"]["value"], rows["all"]["n"]) for name, rows in content["dice"].items()}
    assert dice["all slices"] == pytest.approx((2.9 / 4, 4))
    assert dice["axial"] == pytest.approx((0.6, 2))
    assert dice["tumour 1 to 3% of the picture"] == pytest.approx((0.8, 2))
    assert content["dice"]["coronal"]["glioma"]["value"] == pytest.approx(0.9)
    assert "no_tumor" not in content["dice"]["all slices"]
    assert content["planes_known"] == 5


def test_the_planes_of_the_public_slices_are_read(evaluation, phantoms, tmp_path):
    names = [s.source for s in read_evaluated(evaluation, phantoms / "dataset")]
    table = tmp_path / "planes.csv"
    table.write_text("image,plane\n" + f"{names[0]},axial\nTraining/{names[1]},sagittal\n")
    found = read_evaluated(evaluation, phantoms / "dataset", planes=table)
    assert [s.plane for s in found] == ["axial", "sagittal"] + [None] * (len(names) - 2)
    table.write_text("image,view\na,b\n")
    with pytest.raises(InputError, match="lacks the column 'plane'"):
        read_evaluated(evaluation, phantoms / "dataset", planes=table)


def test_evaluations_of_other_slices_are_pooled(evaluation, phantoms, tmp_path, capsys):
    rows = (evaluation / "per_image.csv").read_text().splitlines()
    parts = {"first": rows[1:3], "second": rows[3:]}
    for name, kept in parts.items():
        shutil.copytree(evaluation, tmp_path / name)
        (tmp_path / name / "per_image.csv").write_text("\n".join([rows[0], *kept]) + "\n")
    arguments = ["--dataset_dir", str(phantoms / "dataset"), "--output", str(tmp_path / "out")]
    folders = [str(tmp_path / name) for name in parts]
    assert command.main([*arguments, "--evaluation", *folders]) == 0
    content = read(tmp_path / "out" / "known_failures.json")
    accuracy = read(evaluation / "metrics.json")["classification"]["accuracy"]
    assert content["parts"]["all slices"]["all"]["n"] == len(rows) - 1
    assert content["parts"]["all slices"]["all"]["value"] == pytest.approx(accuracy["value"])
    assert command.main([*arguments, "--evaluation", *folders, folders[0]]) == 2
    assert "is in another evaluation, too" in capsys.readouterr().err
