"""The release of a checkpoint: its files belong together, and the stored predictions can be had again."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from braintumor_ext import Predictor
from braintumor_ext.errors import InputError
from studies.evaluated_slices import split_hash
from studies.release import __main__ as release
from studies.release import compare_predictions, read_expected
from tests.conftest import REPOSITORY
from tests.studies.conftest import read, release_arguments

pytestmark = pytest.mark.slow


def test_the_files_belong_to_one_checkpoint(released, example_models, phantoms):
    names = {"model.pt", "training.json", "calibration.json", "expected.json"}
    assert {path.name for path in released.iterdir()} == names  # and no image
    digest = hashlib.sha256((released / "model.pt").read_bytes()).hexdigest()
    settings = read(released / "training.json")
    assert {read(released / name)["sha256"] for name in names - {"model.pt"}} == {digest}
    assert settings["recipe"] == "published"
    assert settings["trained_sha256"] == hashlib.sha256((example_models / "model.pt").read_bytes()).hexdigest()
    assert settings["split_hash"] == split_hash(phantoms / "dataset")
    before = read(example_models / "training.json")
    assert {name: settings[name] for name in ("class_names", "empty_class", "in_channels", "image_size")} == {
        name: before[name] for name in ("class_names", "empty_class", "in_channels", "image_size")
    }


def test_the_calibration_is_fitted_to_the_released_file(released, example_models):
    content, before = read(released / "calibration.json"), read(example_models / "calibration.json")
    assert content["fitted_on"] == "validation"
    assert content["image_size"] == before["image_size"]
    assert content["date"] != before["date"]
    assert content["detector"]["stages"] == [64, 128, 256, 512]


def test_two_slices_of_each_class_are_stored_with_where_and_what_they_are(released, phantoms, evaluation):
    predictions = read(released / "expected.json")["predictions"]
    assert Counter(entry["true_class"] for entry in predictions) == dict.fromkeys(
        ("glioma", "meningioma", "pituitary", "no_tumor"), 2
    )
    with (evaluation / "per_image.csv").open(newline="") as file:
        evaluated = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    for entry in predictions:
        path = phantoms / "images" / entry["image"]
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        row = evaluated[path.name]
        assert (entry["true_class"], entry["class"]) == (row["true_class"], row["predicted_class"])
        assert entry["area_px"] == pytest.approx(int(row["pred_area_px"]), rel=0.05, abs=3)  # half precision
        assert (entry["dice"] is None) == (row["dice"] == "")
        if row["dice"]:
            assert entry["dice"] == pytest.approx(float(row["dice"]), abs=0.05)
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_predictor_gives_the_stored_predictions(released, phantoms):
    expected = read_expected(released / "expected.json")
    predictor = Predictor.from_bundle(REPOSITORY, released / "model.pt", "cpu", amp=False)
    for row in compare_predictions(expected, predictor, phantoms / "images"):
        assert row["difference"] < 1e-5
        assert row["area_difference"] == 0
    plain = Predictor.from_bundle(REPOSITORY, released / "model.pt", "cpu", calibration="none")
    assert max(row["difference"] for row in compare_predictions(expected, plain, phantoms / "images")) > 1e-3


def test_another_image_under_the_same_name_is_told(released, phantoms, tmp_path):
    expected = read_expected(released / "expected.json")
    predictor = Predictor.from_bundle(REPOSITORY, released / "model.pt", "cpu")
    with pytest.raises(InputError, match=f"does not hold {expected['predictions'][0]['image']}"):
        compare_predictions(expected, predictor, tmp_path)
    copy = shutil.copytree(phantoms / "images", tmp_path / "images")
    changed = copy / expected["predictions"][0]["image"]
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(InputError, match="is another file than the one whose prediction is stored"):
        compare_predictions(expected, predictor, copy)


def test_a_second_release_changes_nothing_and_another_checkpoint_takes_no_files_place(
    released, phantoms, evaluation, example_models, tmp_path
):
    output = tmp_path / "models"
    shutil.copytree(released, output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    arguments = release_arguments(phantoms, evaluation, example_models, output)
    assert release.main(arguments) == 0
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    (output / "model.pt").write_bytes(b"someone's years of work")
    assert release.main([*arguments, "--calibration", "none"]) == 0
    kept = {path.name for path in output.iterdir()} - set(before)
    assert [(output / name).read_bytes() for name in kept if name.endswith(".pt")] == [b"someone's years of work"]
    assert (output / "model.pt").read_bytes() == before["model.pt"]
    assert (output / "calibration.json").read_bytes() == before["calibration.json"]
    shutil.rmtree(output)


def test_without_a_calibration_the_stale_one_is_renamed_and_the_predictions_are_the_networks_own(
    phantoms, evaluation, example_models, tmp_path
):
    output = tmp_path / "models"
    output.mkdir()
    shutil.copy(example_models / "calibration.json", output)
    arguments = release_arguments(phantoms, evaluation, example_models, output, "--calibration", "none")
    assert release.main(arguments) == 0
    assert not (output / "calibration.json").exists()
    assert len(list(output.glob("calibration.*.json"))) == 1
    assert read(output / "expected.json")["temperature"] is None
    shutil.rmtree(output)


def wrong(folder: Path, what: str, phantoms: Path, evaluation: Path, models: Path) -> tuple[Path, Path, Path]:
    """Return phantoms, evaluation and models of which one is not usable."""
    if what == "no settings":
        (folder / "models").mkdir()
        (folder / "models" / "model.pt").symlink_to(models / "model.pt")
        return phantoms, evaluation, folder / "models"
    if what == "no checkpoint":
        return phantoms, evaluation, folder
    if what == "another checkpoint":
        metrics = read(evaluation / "metrics.json")
        metrics["context"]["checkpoint_sha256"] = "0" * 64
        shutil.copy(evaluation / "per_image.csv", folder)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return phantoms, folder, models
    if what == "no evaluation":
        return phantoms, folder, models
    copy = Path(shutil.copytree(phantoms, folder / "phantoms"))
    if what == "another data set":
        items = copy / "dataset" / "items.csv"
        items.write_text("\n".join(items.read_text().splitlines()[:3]))
    if what == "copies":
        for path in (copy / "images" / "Training").rglob("*.png"):
            path.write_bytes(path.read_bytes() + b" ")
    return copy, evaluation, models


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("no settings", r"training\.json: does not tell the settings"),
        ("no checkpoint", r"model\.pt: no such checkpoint"),
        ("another checkpoint", "is the evaluation of another checkpoint"),
        ("no evaluation", r"metrics\.json: is no evaluation"),
        ("copies", "is not the file of the data set itself but a copy"),
        ("another data set", r"is not in .*items\.csv"),
    ],
)
def test_what_cannot_be_released_is_told_before_anything_is_written(
    what, told, phantoms, evaluation, example_models, tmp_path, capsys
):
    used = wrong(tmp_path, what, phantoms, evaluation, example_models)
    assert release.main(release_arguments(*used, tmp_path / "out" / "models")) == 2
    error = capsys.readouterr().err
    assert re.search(told, error), error
    assert not (tmp_path / "out").exists()


def test_the_split_hash_is_of_the_split_alone(phantoms, tmp_path):
    expected = split_hash(phantoms / "dataset")
    copy = Path(shutil.copytree(phantoms, tmp_path / "elsewhere")) / "dataset"
    content = read(copy / "datalist.json")
    content["training"].reverse()
    (copy / "datalist.json").write_text(json.dumps(content))
    assert split_hash(copy) == expected
    content["test"].append(content["training"].pop())
    (copy / "other.json").write_text(json.dumps(content))
    assert split_hash(copy, "other.json") != expected


def test_the_released_file_is_flat_and_small(released):
    state = torch.load(released / "model.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert (released / "model.pt").stat().st_size < 61_000_000
