"""The study of an external set, against scikit-learn and the predictions themselves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from braintumor_ext import Predictor
from braintumor_ext.classes import CLASSES
from braintumor_ext.errors import InputError
from braintumor_ext.metrics import SliceRecord
from studies.external_set.__main__ import main
from studies.external_set.predictions import predict_sequence
from studies.external_set.slices import find_slices
from studies.external_set.summary import ANY_TUMOUR, summarise_sequence
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import square_slice


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two sequences of three patients: two tumour slices and a clear one each; masks of all but one tumour slice."""
    root, rows = tmp_path / "hospital", []
    for sequence in ("t1c", "flair"):
        for number in range(9):
            folder, patient = ("no_tumor" if number % 3 == 2 else "glioma_tumor"), f"p{number // 3}"
            picture, mask = square_slice(side=0.0 if folder == "no_tumor" else 0.25, seed=number)
            name = f"{sequence}/{folder}/s{number}.png"
            for path, pixels in ((root / name, np.uint8(picture * 255)), (root / "masks" / name, mask)):
                if path.is_relative_to(root / "masks") and (folder == "no_tumor" or number == 0):
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
            rows.append((name, patient))
    write_groups(root, rows)
    return root


def write_groups(root, rows):
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "group"), *rows])


def random_records(rng, patients=12, classes=4):
    """Slices of patients in which the predictions depend on the patient; a third of them are without tumour."""
    records = []
    for patient in range(patients):
        mood = rng.normal(size=classes)
        for number in range(6):
            weights = np.exp(mood + rng.normal(size=classes))
            tumour = number % 3 > 0
            dice = float(rng.choice([0.0, rng.uniform()])) if tumour else float("nan")
            records.append(
                SliceRecord(
                    f"s/{patient}-{number}",
                    f"p{patient}",
                    0 if tumour else 3,
                    tuple(weights / weights.sum()),
                    mask_known=True,
                    true_area_px=50 * tumour,
                    pred_area_px=int(rng.integers(0, 3)) + 5 * (dice > 0),
                    dice=dice,
                )
            )
    return records


def test_the_figures_are_those_of_the_slices():
    records = random_records(np.random.default_rng(0))
    found = summarise_sequence(records, CLASSES, n_draws=50)
    true = [record.true_class == 0 for record in records]
    p = np.array([record.probabilities for record in records])
    assert found["auc"][ANY_TUMOUR]["value"] == pytest.approx(roc_auc_score(true, 1 - p[:, 3]))
    assert found["auc"]["glioma"]["value"] == pytest.approx(roc_auc_score(true, p[:, 0]))
    assert set(found["auc"]) == {ANY_TUMOUR, "glioma"}
    tumour = [record for record in records if record.true_class == 0]
    called = [record for record in tumour if max(record.probabilities) > record.probabilities[3]]
    assert found["sensitivity"]["count"] == len(called)
    assert found["sensitivity"]["n"] == found["tumour_slices"] == len(tumour) == 48
    assert found["dice"]["raw"]["value"] == pytest.approx(np.mean([record.dice for record in tumour]))
    assert found["dice"]["gated"]["value"] == pytest.approx(sum(record.dice for record in called) / len(tumour))
    assert found["overlap"]["raw"]["count"] == sum(record.dice > 0 for record in tumour)
    assert found["any_pixel"]["gated"]["count"] == sum(record.pred_area_px > 0 for record in called)
    clear = [record for record in records if record.true_class == 3]
    assert found["no_tumour_without_pixel"]["raw"]["count"] == sum(record.pred_area_px == 0 for record in clear)
    assert sum(found["called"]["glioma"].values()) == 48
    assert found["called"]["no_tumor"]["no_tumor"] == found["specificity"]["count"]


def test_intervals_are_over_patients_so_more_slices_alike_of_each_change_nothing():
    records = random_records(np.random.default_rng(1))
    twice = [*records, *records]
    once, doubled = (summarise_sequence(r, CLASSES, n_draws=200) for r in (records, twice))
    for measure in (lambda s: s["auc"][ANY_TUMOUR], lambda s: s["sensitivity"], lambda s: s["dice"]["raw"]):
        assert measure(doubled)["ci95"] == pytest.approx(measure(once)["ci95"])
        low, high = measure(once)["ci95"]
        assert low < measure(once)["value"] < high
    assert doubled["patients"] == once["patients"] == 12


def test_an_unknown_mask_counts_for_the_classes_alone(data, example_models):
    predictor = Predictor.from_bundle(REPOSITORY, example_models / "model.pt", "cpu")
    slices, remarks = find_slices(data, predictor.classes)
    assert list(slices) == ["flair", "t1c"]
    assert remarks == []
    assert [item.patient for item in slices["t1c"][:6]] == ["p0", "p0", "p1", "p1", "p2", "p2"]
    found = summarise_sequence(predict_sequence(predictor, slices["t1c"]).records, predictor.classes, 50)
    assert (found["tumour_slices"], found["no_tumour_slices"], found["mask_unknown"]) == (6, 3, 1)
    assert found["dice"]["raw"]["n"] == found["overlap"]["raw"]["n"] == 5
    assert found["dice"]["raw"]["value"] > 0.5  # the model outlines bright squares


def test_blank_and_broken_slices_and_masks_that_do_not_fit_are_counted_and_stop_nothing(
    data, example_models, tmp_path, capsys
):
    Image.fromarray(np.full((64, 64), 3, dtype=np.uint8)).save(data / "t1c" / "no_tumor" / "s2.png")
    (data / "t1c" / "no_tumor" / "s5.png").write_bytes(b"\x89PNG and no more")
    Image.new("1", (64, 60)).save(data / "masks" / "flair" / "glioma_tumor" / "s4.png")
    arguments = ["--data", str(data), "--checkpoint_dir", str(example_models), "--device", "cpu"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    assert "2 slice(s) could not be judged" in capsys.readouterr().err
    content = json.loads((tmp_path / "out" / "external_set.json").read_text())
    t1c, flair = content["sequences"]["t1c"], content["sequences"]["flair"]
    assert (t1c["blank"], list(t1c["failed"])) == (["t1c/no_tumor/s2.png"], ["t1c/no_tumor/s5.png"])
    assert "is 64x60, but its image is 64x64" in flair["failed"]["flair/glioma_tumor/s4.png"]
    assert (t1c["slices"], flair["slices"]) == (7, 8)
    with (tmp_path / "out" / "per_slice.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert {row["group"] for row in rows} == {"p0", "p1", "p2"}
    for name in ("roc", "t1c", "flair"):
        with Image.open(tmp_path / "out" / f"{name}.png") as picture:
            assert min(picture.size) > 300
    text = (tmp_path / "out" / "external_set.md").read_text()
    assert str(data) not in text


def test_sequences_may_share_one_folder_of_masks(data):
    (data / "masks" / "t1c").rename(data / "outlines")
    slices, _ = find_slices(data, CLASSES, ["flair", "t1c"], masks=data / "outlines")
    for found in slices.values():
        assert sum(item.mask is not None for item in found) == 5


def remove(path):
    for file in path.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: remove(data / "t1c" / "no_tumor"), r"t1c.no_tumor: holds no images"),
        (lambda data: (data / "t1c" / "no_tumor").rename(data / "other"), r"t1c: holds no slices without tumour"),
        (lambda data: (data / "flair").rename(data / "t2"), r"flair: is not a folder"),
        (lambda data: data.rename(data.with_name("gone")), r"hospital: is not a folder"),
        (lambda data: (data / "groups.csv").unlink(), r"groups.csv: there is no such file"),
        (lambda data: write_groups(data, [("t1c/no_tumor/s2.png", "p0")]), r"does not tell the patient of 17 slice"),
    ],
)
def test_what_is_missing_is_named(data, change, message):
    change(data)
    with pytest.raises(InputError, match=message):
        find_slices(data, CLASSES, ["flair", "t1c"])


def test_the_command_names_a_missing_checkpoint(tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    assert main(["--data", str(tmp_path), "--checkpoint_dir", nowhere, "--output", nowhere]) == 2
    assert "nowhere/model.pt" in capsys.readouterr().err
