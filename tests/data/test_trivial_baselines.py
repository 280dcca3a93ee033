from __future__ import annotations

import csv

import numpy as np
import pytest

from braintumor_ext.data.file_properties import FileProperties, write_items_csv
from braintumor_ext.data.split import SECTIONS, SplitItem, grouped_split, random_split
from braintumor_ext.data.thumbnails import thumbnail
from braintumor_ext.data.trivial_baselines import (
    file_property_baseline,
    nearest_neighbour_baseline,
    trivial_baselines_for,
)
from braintumor_ext.transforms import read_grey
from tests.data.folders import grey_slice, write_slice


def test_nearest_neighbour_takes_the_class_of_the_best_correlation():
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 256, (30, 48, 48)), rng.integers(0, 256, (12, 48, 48))
    test[:6] = train[10:16] // 2 + rng.integers(0, 40, (6, 48, 48))
    classes = rng.integers(0, 4, 30)
    baseline = nearest_neighbour_baseline(train, classes, test, [0] * 12)
    expected = [int(classes[np.argmax([np.corrcoef(t.ravel(), x.ravel())[0, 1] for x in train])]) for t in test]
    assert baseline.predictions == expected
    assert baseline.predictions[:6] == classes[10:16].tolist()
    assert baseline.n == 12
    assert baseline.accuracy == pytest.approx(np.mean(np.array(expected) == 0))


def test_brightness_and_contrast_do_not_matter():
    train = np.stack([thumbnail(grey_slice(seed) / 255) for seed in range(4)])
    baseline = nearest_neighbour_baseline(train, [0, 1, 2, 3], train * 0.3 + 50, [0, 1, 2, 3])
    assert baseline.accuracy == 1


def test_size_alone_betrays_a_class_whose_files_differ():
    large, small = FileProperties(512, 512, "RGB", 20000), FileProperties(225, 225, "RGB", 20000)
    baseline = file_property_baseline(
        [large] * 20 + [small] * 20, [0] * 20 + [3] * 20, [small, large, large], [3, 0, 1]
    )
    assert baseline.predictions == [3, 0, 0]
    assert baseline.accuracy == pytest.approx(2 / 3)


def test_a_mode_that_training_lacks_is_no_error():
    grey, colour = FileProperties(10, 10, "L", 5), FileProperties(10, 10, "RGBA", 5)
    assert file_property_baseline([grey] * 10, [1] * 10, [colour], [1]).accuracy == 1


def test_baselines_of_a_folder_skip_and_count_what_cannot_be_read(tmp_path):
    items = [
        {"image": str(write_slice(tmp_path / f"{i}.png", seed=i, width=56 + 10 * (i % 2))), "class": i % 2}
        for i in range(12)
    ]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    test = [*items[:4], {"image": str(broken), "class": 0}, {"image": items[5]["image"]}]
    baselines = trivial_baselines_for(tmp_path, items, test)
    assert baselines["nearest_neighbour"] == {"accuracy": 1.0, "n": 4, "n_left_out": 1}
    assert baselines["file_properties"] == {"accuracy": 1.0, "n": 4, "n_left_out": 1}


def test_baselines_use_the_source_files_properties_where_they_are_listed(tmp_path):
    items = [{"image": str(write_slice(tmp_path / "images" / f"{i}.png", seed=i)), "class": i % 2} for i in range(20)]
    assert trivial_baselines_for(tmp_path, items, items)["file_properties"]["accuracy"] < 1
    rows = [
        {"image": f"images/{i}.png", "source": "", "class": "", "group": "", "split": "", "sha256": "",
         "width": 512 - 200 * (i % 2), "height": 512, "mode": "RGB", "bytes": 1000} for i in range(20)
    ]  # fmt: skip
    write_items_csv(tmp_path, rows)
    assert trivial_baselines_for(tmp_path, items, items)["file_properties"]["accuracy"] == 1


def test_without_training_images_there_is_no_baseline(tmp_path):
    item = {"image": str(write_slice(tmp_path / "a.png", seed=0)), "class": 0}
    assert trivial_baselines_for(tmp_path, [], [item]) == {}


@pytest.fixture(scope="module")
def real_thumbnails(brain_tumor_mri):
    """Every third real slice: enough for a baseline, in a third of the time."""
    with (brain_tumor_mri / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = sorted({row["group"] for row in rows})[::3]
    rows = [row for row in rows if row["group"] in set(groups)]
    items = [SplitItem(row["image"], row["image"].split("/")[0], row["group"]) for row in rows]
    return items, np.stack([thumbnail(read_grey(brain_tumor_mri / "Training" / item.key)) for item in items])


@pytest.mark.real_data
def test_a_random_split_of_real_slices_is_solved_by_look_alikes_far_more_than_a_grouped_one(real_thumbnails):
    items, thumbnails = real_thumbnails
    names = sorted({item.class_name for item in items})
    classes = np.array([names.index(item.class_name) for item in items])
    accuracy = {}
    for divide in (random_split, grouped_split):
        section = np.array([divide(items, 0)[item.key] for item in items])
        train, test = section == SECTIONS[0], section == SECTIONS[2]
        baseline = nearest_neighbour_baseline(thumbnails[train], classes[train], thumbnails[test], classes[test])
        accuracy[divide] = baseline.accuracy
    assert accuracy[random_split] > 0.8
    assert accuracy[random_split] - accuracy[grouped_split] > 0.1
