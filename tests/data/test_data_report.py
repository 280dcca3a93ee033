from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braintumor_ext.data import load_datalist, trivial_baselines_for
from braintumor_ext.data.prepare import prepare
from tests.data.folders import class_folders, write_mask_file, write_slice


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, dict]:
    """A random split of a set with copies, a group of two classes, an empty mask and a large slice."""
    root = tmp_path_factory.mktemp("report")
    images = class_folders(root / "set", per_class=12)
    for index in range(12):
        write_mask_file(root / "masks" / "glioma_tumor" / f"a{index}.png")
    Image.fromarray(np.zeros((60, 56), np.uint8)).save(root / "masks" / "glioma_tumor" / "a1.png")
    for index in range(6):
        shutil.copy(images / "no_tumor" / f"a{index}.png", images / "no_tumor" / f"copy{index}.png")
    shutil.copy(images / "glioma_tumor" / "a0.png", images / "meningioma_tumor" / "wrong.png")
    write_slice(images / "glioma_tumor" / "large.png", seed=5000, height=300, width=280)
    report = prepare(images, root / "out", masks=root / "masks", protocol="random").report
    return root / "out", report


def test_counts_agree_with_the_datalist(prepared):
    output, report = prepared
    loaded = load_datalist(output)
    for index, name in enumerate(["glioma", "meningioma", "pituitary", "no_tumor"]):
        for section, items in loaded.items():
            assert report["counts"][name][section] == sum(item["class"] == index for item in items)
    assert report["counts"]["all"]["total"] == 56


def test_copies_are_counted_also_across_sections_and_classes(prepared):
    output, report = prepared
    section = {Path(i["image"]).name + str(i["class"]): s for s, v in load_datalist(output).items() for i in v}
    divided = sum(section[f"a{i}.png3"] != section[f"copy{i}.png3"] for i in range(6))
    divided += section["a0.png0"] != section["wrong.png1"]
    assert report["byte_duplicates"]["sets"] == 7
    assert report["byte_duplicates"]["images"] == 14
    assert report["byte_duplicates"]["sets_across_splits"] == divided > 0
    assert report["byte_duplicates"]["sets_across_classes"] == 1
    assert report["near_duplicates"]["sets"] == 7
    assert report["groups"]["divided_by_split"] == divided


def test_groups_of_two_classes_are_named(prepared):
    _, report = prepared
    (entry,) = report["groups"]["with_two_classes"]
    assert entry["classes"] == {"glioma": 1, "meningioma": 1}
    assert entry["images"] == ["glioma_tumor/a0.png", "meningioma_tumor/wrong.png"]


def test_masks_and_small_slices_are_told(prepared):
    _, report = prepared
    assert report["masks"]["glioma"]["known"] == 12
    assert report["masks"]["glioma"]["unknown"] == ["glioma_tumor/large.png"]
    assert report["masks"]["glioma"]["without_tumour"] == ["glioma_tumor/a1.png"]
    assert len(report["masks"]["pituitary"]["unknown"]) == 12
    assert len(report["below_224"]) == 55


def test_baselines_are_those_that_evaluation_measures_from_the_files(prepared):
    output, report = prepared
    loaded = load_datalist(output)
    for section in ("validation", "test"):
        assert report["trivial_baselines"][section] == trivial_baselines_for(
            output, loaded["training"], loaded[section]
        )


def test_the_files_are_written_and_agree(prepared):
    output, report = prepared
    assert json.loads((output / "data_report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    text = (output / "data_report.md").read_text(encoding="utf-8")
    accuracy = report["trivial_baselines"]["test"]["nearest_neighbour"]["accuracy"]
    assert f"| {accuracy:.1%} |" in text
    assert str(output) not in text


def test_the_contact_sheet_outlines_tumours_in_colour(prepared):
    output, _ = prepared
    with Image.open(output / "contact_sheet.png") as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    coloured = (sheet.max(axis=2) - sheet.min(axis=2)) > 60
    rows = np.flatnonzero(coloured.any(axis=1))
    assert len(rows) > 0
    assert rows.max() < sheet.shape[0] / 4  # masks were given for the first row's class only
