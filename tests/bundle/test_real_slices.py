"""A few real slices of each class through the whole chain."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import prepare_data
from tests.bundle.test_evaluation import evaluate
from tests.bundle.workflows import make_workflow, read_table, run_workflow, train

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

FOLDERS = ("glioma_tumor", "meningioma_tumor", "pituitary_tumor", "no_tumor")
PER_CLASS = 5


def few_slices(source: Path, target: Path) -> Path:
    """Copy five slices of each class, of five groups, with masks and the table of groups."""
    with (source / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = []
    for folder in FOLDERS:
        groups = set()
        for row in rows:
            name, mask = Path(row["image"]), source / "masks" / folder / f"{Path(row['image']).stem}.png"
            usable = mask.is_file() or folder == "no_tumor"
            if name.parent.name != folder or row["group"] in groups or not usable or len(groups) == PER_CLASS:
                continue
            groups.add(row["group"])
            kept.append(row)
            for original in [next(source.rglob(f"{folder}/{name.name}")), *([mask] if mask.is_file() else [])]:
                copy = target / original.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(original, copy)
    with (target / "groups.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    return target


@pytest.fixture(scope="module")
def prepared(brain_tumor_mri, tmp_path_factory) -> Path:
    """The prepared data set of few slices."""
    folder = tmp_path_factory.mktemp("real")
    images = few_slices(brain_tumor_mri, folder / "images")
    arguments = ["--images", images, "--masks", images / "masks", "--groups", images / "groups.csv"]
    assert prepare_data.main([str(v) for v in [*arguments, "--output", folder / "dataset"]]) == 0
    return folder / "dataset"


@pytest.fixture(scope="module")
def chain(prepared, tmp_path_factory):
    """One epoch, the evaluation, and the inference on the slices as they came."""
    folder = tmp_path_factory.mktemp("chain")
    train(prepared, folder, epochs=1)
    evaluate(prepared, folder / "models", folder / "evaluation")
    run_workflow(
        make_workflow(
            "inference",
            workflow_type="infer",
            dataset_dir=str(prepared.parent / "images" / "Training"),
            ckpt_dir=str(folder / "models"),
            output_dir=str(folder / "predictions"),
        )
    )
    yield folder
    shutil.rmtree(folder)


def test_the_slices_are_divided_by_class_and_group(prepared):
    content = json.loads((prepared / "datalist.json").read_text())
    sections = {name: content[name] for name in ("training", "validation", "test")}
    assert sum(map(len, sections.values())) == 4 * PER_CLASS
    for items in sections.values():
        assert set(Counter(item["class"] for item in items)) == {0, 1, 2, 3}
        assert all("label" in item for item in items)
    groups = [{item["group"] for item in items} for items in sections.values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]


def test_training_on_them_ends_with_numbers(chain):
    (row,) = read_table(chain / "out" / "history.csv")
    assert all(math.isfinite(float(row[name])) for name in ("train_loss", "val_loss", "val_score", "val_mean_dice"))
    assert 0 < float(row["train_loss"]) < 20


def test_evaluation_scores_each_test_slice_in_its_own_grid(chain, prepared):
    items = {item["image"]: item for item in json.loads((prepared / "datalist.json").read_text())["test"]}
    rows = read_table(chain / "evaluation" / "per_image.csv")
    assert {row["image"] for row in rows} == set(items)
    for row in rows:
        label = np.asarray(Image.open(prepared / items[row["image"]]["label"]).convert("L")) > 127
        assert int(row["true_area_px"]) == label.sum()
        assert 0 <= int(row["pred_area_px"]) <= label.size
        assert (row["dice"] != "") == bool(label.any() or int(row["pred_area_px"]))
    metrics = json.loads((chain / "evaluation" / "metrics.json").read_text())
    assert 0 <= metrics["classification"]["accuracy"]["value"] <= 1
    assert set(metrics["trivial_baselines"]) == {"nearest_neighbour", "file_properties"}


def test_inference_gives_a_row_a_mask_and_a_picture_for_each_slice(chain, prepared):
    images = prepared.parent / "images" / "Training"
    rows = read_table(chain / "predictions" / "predictions.csv")
    assert [row["file"] for row in rows] == sorted(p.relative_to(images).as_posix() for p in images.rglob("*.jpg"))
    for row in rows:
        assert row["error"] == ""
        assert sum(float(row[name]) for name in row if name.startswith("p_")) == pytest.approx(1, abs=1e-5)
        with Image.open(images / row["file"]) as image, Image.open(chain / "predictions" / row["mask"]) as mask:
            assert mask.size == image.size
            assert np.count_nonzero(np.asarray(mask)) == int(row["area_px"])
        assert (chain / "predictions" / row["overlay"]).is_file()


def test_evaluation_and_inference_agree_on_the_same_slice(chain, prepared):
    predicted = {Path(row["file"]).name: row for row in read_table(chain / "predictions" / "predictions.csv")}
    assert len(predicted) == 4 * PER_CLASS
    for row in read_table(chain / "evaluation" / "per_image.csv"):
        other = predicted[Path(row["image"]).name]
        assert int(other["area_px"]) == pytest.approx(int(row["pred_area_px"]), abs=20)
        for name in ("p_glioma", "p_meningioma", "p_pituitary", "p_no_tumor"):
            assert float(other[name]) == pytest.approx(float(row[name]), abs=1e-3)
