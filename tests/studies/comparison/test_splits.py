"""The splits of a comparison: no group divided, every image tested once, the same on every machine."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from braintumor_ext.classes import CLASSES
from braintumor_ext.data.datalist import load_datalist
from braintumor_ext.data.split import SplitItem
from braintumor_ext.errors import InputError
from studies.comparison.splits import grouped_folds, make_splits, short_names, store_split, subset


def items(root="/data", count=240):
    """Groups of 1 to 12 slices, as lop-sided as patients are."""
    draw = random.Random(0)
    made = []
    while len(made) < count:
        group, index = f"g{len(made):04d}", draw.randrange(4)
        for _ in range(draw.choice([1, 1, 2, 5, 12])):
            made.append({"image": f"{root}/{CLASSES[index]}/{len(made)}.png", "class": index, "group": group})
    return made


def test_folds_test_every_image_once_and_divide_no_group():
    given = items(count=800)
    splits = make_splits(given, "grouped", [0], 5, CLASSES)
    tested = Counter(item["image"] for split in splits for item in split.sections["test"])
    assert tested == Counter(item["image"] for item in given)
    for split in splits:
        groups = {name: {item["group"] for item in part} for name, part in split.sections.items()}
        assert not groups["training"] & groups["test"]
        assert not groups["training"] & groups["validation"]
        assert not groups["validation"] & groups["test"]
        assert sum(len(part) for part in split.sections.values()) == len(given)
        for index in range(4):
            share = sum(i["class"] == index for i in split.sections["test"]) / sum(i["class"] == index for i in given)
            assert 0.1 < share < 0.3  # a fifth, as near as the groups allow


def test_a_random_split_is_70_15_15_and_divides_groups():
    given = items()
    first, second = make_splits(given, "random", [0, 1], 5, CLASSES)
    sizes = [len(first.sections[name]) for name in ("training", "validation", "test")]
    assert sizes == [round(len(given) * share) for share in (0.7, 0.15, 0.15)]
    assert {i["group"] for i in first.sections["training"]} & {i["group"] for i in first.sections["test"]}
    assert first.sha256 != second.sha256
    assert (first.name, second.name) == ("random-seed0", "random-seed1")


def test_the_hash_is_of_what_is_divided_not_of_where_it_lies_or_in_which_order():
    here = make_splits(items("/data"), "grouped", [0], 3, CLASSES)
    elsewhere = items("/another/disk")
    random.Random(1).shuffle(elsewhere)
    there = make_splits(elsewhere, "grouped", [0], 3, CLASSES)
    assert [split.sha256 for split in here] == [split.sha256 for split in there]
    assert len({split.sha256 for split in here}) == 3
    changed = items()
    changed[0] = {**changed[0], "class": 3 - changed[0]["class"]}
    assert (
        make_splits(changed, "random", [0], 3, CLASSES)[0].sha256
        != make_splits(items(), "random", [0], 3, CLASSES)[0].sha256
    )


def test_a_stored_split_is_a_datalist_that_can_be_moved_with_its_data(tmp_path, phantoms):
    given = [item for part in load_datalist(phantoms).values() for item in part]
    split = make_splits(given, "grouped", [0], 2, CLASSES)[0]
    path = store_split(split, tmp_path / "splits", CLASSES)
    stored = json.loads(path.read_text())
    assert stored["sha256"] == split.sha256
    assert not Path(stored["test"][0]["image"]).is_absolute()
    loaded = load_datalist(phantoms, path)
    for name, part in split.sections.items():
        assert [(i["image"], i["class"], i["group"]) for i in loaded[name]] == [
            (str(i["image"]), i["class"], i["group"]) for i in part
        ]


def test_more_folds_than_groups_are_refused():
    with pytest.raises(InputError, match="Give --folds from 2 to 3"):
        make_splits(
            [{"image": f"/d/{g}{i}.png", "class": 0, "group": g} for g in "abc" for i in range(4)],
            "grouped",
            [0],
            4,
            CLASSES,
        )


def test_a_subset_keeps_the_classes_shares_and_many_groups():
    given = items()
    chosen = subset(given, 60)
    shares = {index: sum(i["class"] == index for i in given) / len(given) for index in range(4)}
    counts = Counter(item["class"] for item in chosen)
    assert {index: abs(counts[index] / len(chosen) - share) < 0.05 for index, share in shares.items()} == dict.fromkeys(
        range(4), True
    )
    assert len({item["group"] for item in chosen}) > len({item["group"] for item in given[:60]})
    assert subset(list(reversed(given)), 60) == chosen


def test_names_are_below_the_folder_that_all_share():
    assert short_names([{"image": "/a/b/x/1.png"}, {"image": "/a/b/y/1.png"}]) == ["x/1.png", "y/1.png"]


def test_folds_divide_no_group_and_do_not_depend_on_the_order_of_the_items():
    items = [SplitItem(f"{g}/{n}", "ab"[g % 2], f"g{g}") for g in range(30) for n in range(1 + g % 5)]
    folds = grouped_folds(items, 3, seed=1)
    assert sorted(key for fold in folds for key in fold) == sorted(item.key for item in items)
    for group in {item.group for item in items}:
        assert sum(any(item.key in fold for item in items if item.group == group) for fold in folds) == 1
    assert grouped_folds(items[::-1], 3, seed=1) == folds
    assert grouped_folds(items, 3, seed=2) != folds
    # As published folds were drawn, and as scikit-learn does from 1.8 on: before, shuffled folds were not stratified.
    first = {"9", "10", "11", "15", "22", "23", "24", "26", "27", "28"}
    assert {key.split("/")[0] for key in folds[0]} == first
