"""The extra slices of a comparison's splits are those that ``prepare_data`` would choose for each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from braintumor_ext.classes import CLASSES
from braintumor_ext.data import load_datalist
from braintumor_ext.data.prepare import prepare
from studies.comparison.extra_slices import ExtraSlices
from studies.comparison.splits import Split, make_splits, store_split
from tests.data.folders import class_folders, write_slice


def data_set(folder: Path) -> dict[str, list[dict]]:
    """Eight slices of each class, two a patient; extra: a slice of each patient, a mirrored copy of each, strangers."""
    class_folders(folder / "set", per_class=8)
    rows, more = ["image,group"], ["image,group"]
    for name in ("glioma", "meningioma", "pituitary", "no"):
        for i in range(8):
            rows.append(f"{name}_tumor/a{i}.png,{name}{i // 2}")
            write_slice(folder / "more" / f"{name}_tumor" / f"b{i}.png", seed=900 + i + 10 * len(name))
            more.append(
                f"{name}_tumor/b{i}.png,{name}{i // 2}" if i < 4 else f"{name}_tumor/b{i}.png,stranger{name}{i}"
            )
            image = np.asarray(Image.open(folder / "set" / f"{name}_tumor" / f"a{i}.png"))
            Image.fromarray(image[:, ::-1].copy()).save(folder / "more" / f"{name}_tumor" / f"mirrored{i}.png")
            more.append(f"{name}_tumor/mirrored{i}.png,copy-{name}{i}")
    (folder / "groups.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "more.csv").write_text("\n".join(more), encoding="utf-8")
    extra = {"extra": folder / "more", "extra_groups": folder / "more.csv"}
    prepare(folder / "set", folder / "data", groups=folder / "groups.csv", **extra)
    return load_datalist(folder / "data", sections=("training", "validation", "test", "extra"))


def test_they_are_those_that_a_preparation_of_the_same_split_chooses(tmp_path):
    loaded = data_set(tmp_path)
    sections = {name: loaded[name] for name in ("training", "validation", "test")}
    items = [item for part in sections.values() for item in part]
    split = Split("grouped", 0, None, sections, "0" * 64)
    chooser = ExtraSlices(
        tmp_path / "more", None, tmp_path / "more.csv", items, tmp_path / "data", tmp_path / "out", CLASSES
    )
    found = chooser.added_to(split)
    wanted = {(item["image"], item["class"], item["group"], "label" in item) for item in loaded["extra"]}
    assert {(i["image"], i["class"], i["group"], "label" in i) for i in found.sections["extra"]} == wanted
    assert 0 < len(wanted) < 64
    assert found.sha256 != split.sha256


def test_each_fold_has_its_own_and_they_are_not_sought_again(tmp_path):
    loaded = data_set(tmp_path)
    items = [item for name in ("training", "validation", "test") for item in loaded[name]]

    def chooser() -> ExtraSlices:
        folders = (tmp_path / "more", None, tmp_path / "more.csv")
        return ExtraSlices(*folders, items, tmp_path / "data", tmp_path / "out", CLASSES)

    splits = make_splits(items, "grouped", [0], 3, CLASSES)
    first = [chooser().added_to(split) for split in splits]
    assert len({split.sha256 for split in first}) == 3
    for split in first:
        held_out = {item["group"] for name in ("validation", "test") for item in split.sections[name]}
        extra = split.sections["extra"]
        assert not held_out & {item["group"] for item in extra}
        copies = [item["group"].removeprefix("copy-") for item in extra if item["group"].startswith("copy-")]
        patients = {f"{name[:-1]}{int(name[-1]) // 2}" for name in copies}
        assert patients
        assert not held_out & patients
        path = store_split(split, tmp_path / "splits", CLASSES)
        stored = load_datalist(path.parent, path.name, ("training", "extra"))
        assert len(stored["extra"]) == len(extra)
    (tmp_path / "more" / "glioma_tumor" / "b7.png").write_bytes(b"")  # would be told if it were read
    assert [chooser().added_to(split) for split in splits] == first
    assert json.loads(next((tmp_path / "out").glob("*.json")).read_text())["facts"]["images"]["found"] == 64
