"""The study of the search for copies, on phantoms."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braintumor_ext.data.copies import find_copies
from braintumor_ext.data.phantom_head import draw_head
from braintumor_ext.data.phantoms import phantom_slice
from braintumor_ext.data.thumbnails import framed_picture, picture_frame
from braintumor_ext.transforms import read_grey
from studies.copies_recall.__main__ import main
from studies.copies_recall.changes import CHANGES
from studies.copies_recall.recall import false_alarms, pairs_across_groups, recall_by_kind
from studies.copies_recall.scale import different_pictures
from studies.copies_recall.slices import choose, read_slices

PLANES = ("axial", "coronal", "sagittal")


def phantom(number: int) -> np.ndarray:
    """A slice of a head of its own, (96, 96) uint8."""
    head = draw_head(np.random.default_rng([5, number]), ("glioma", "no_tumor")[number % 2])
    return phantom_slice(head, PLANES[number % 3], np.random.default_rng(number), 96)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight heads; s8 is s1 mirrored, in another group, s9 is s2 mirrored, in its group; two groups are no patients."""
    root = tmp_path_factory.mktemp("set")
    pictures = [phantom(number) for number in range(8)]
    pictures += [pictures[1][:, ::-1], pictures[2][:, ::-1]]
    groups = [*range(8), "other", 2]
    rows = []
    for number, (picture, group) in enumerate(zip(pictures, groups, strict=True)):
        name = f"{('glioma_tumor', 'no_tumor')[number % 2]}/s{number}.png"
        path = root / "Training" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(picture)).save(path)
        rows.append((name, f"g{group}", "similarity" if number in (7, 8) else "patient"))
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "group", "group_source"), *rows])
    return root


def test_pairs_across_groups_are_told_by_what_is_known_of_the_groups(folder):
    slices = read_slices(folder / "Training", folder / "groups.csv")
    across = pairs_across_groups(slices)
    (pair,) = [{slices.names[copy.first], slices.names[copy.second]} for copy in across]
    assert pair == {"no_tumor/s1.png", "glioma_tumor/s8.png"}
    found = false_alarms(slices, across)
    # Of 45 pairs one is within a group; the eight slices of patients make 28, less that one.
    assert found["different_patients"] == {"reported": 0, "pairs": 27}
    assert found["other_groups"] == {"reported": 1, "pairs": 44 - 27}
    assert found["reported"][0]["mirrored"]


def test_a_sample_is_read_of_slices_that_are_only_for_timing(folder):
    sample = read_slices(folder / "Training", folder / "groups.csv", at_most=4)
    assert len(set(sample.names)) == len(sample.framed) == 4


def test_one_slice_of_a_group_is_chosen_and_none_of_an_avoided_one(folder):
    slices = read_slices(folder / "Training", folder / "groups.csv")
    for seed in range(4):
        chosen = [slices.groups[position] for position in choose(slices, 99, ["g1", "gother"], seed)]
        assert sorted(chosen) == ["g0", "g2", "g3", "g4", "g5", "g6", "g7"]
    assert len(choose(slices, 3, [], 0)) == 3
    assert choose(slices, 3, [], 0) == choose(slices, 3, [], 0)


def test_recall_is_the_share_found_with_their_own_originals(folder):
    slices = read_slices(folder / "Training", folder / "groups.csv")
    strangers = iter(range(100, 200))
    changes = {
        "same": lambda grey, rng: grey,
        "another head": lambda grey, rng: phantom(next(strangers)) / 255,
        "the next slice": lambda grey, rng: np.roll(greys, -1, axis=0)[next(turn)],
    }
    chosen = choose(slices, 4, ["g1", "gother"], 0)
    greys, turn = np.stack([read_grey(slices.paths[position]) for position in chosen]), iter(range(4))
    found = recall_by_kind(slices, chosen, changes=changes)
    assert [(kind["found"], kind["wrong"]) for kind in found.values()] == [(4, 0), (0, 0), (0, 4)]
    assert found["same"]["likeness"] == pytest.approx(1, abs=1e-3)
    low, high = found["same"]["ci95"]
    assert low == pytest.approx(4 / (4 + 1.959964**2))  # Wilson's lower end where all of n are found: n / (n + z^2)
    assert high == pytest.approx(1)


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_gives_a_slice_with_something_to_see(name):
    grey = phantom(3) / 255
    changed = CHANGES[name](grey, np.random.default_rng(0))
    assert changed.ndim == 2
    assert 0 <= changed.min() < changed.max() <= 1
    if name != "plain":
        assert changed.shape != grey.shape or np.abs(changed - grey).mean() > 1e-3


def test_a_crop_cuts_off_what_is_seen_and_not_the_background_alone():
    grey = np.zeros((100, 120))
    grey[20:80, 10:110] = np.random.default_rng(0).uniform(size=(60, 100))
    assert picture_frame(grey) == (10, 20, 110, 80)
    changed = CHANGES["cropped by 10% at each edge"](grey, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, grey[26:74, 20:100])


def test_pictures_for_timing_are_copies_of_none():
    framed = np.stack([framed_picture(phantom(number) / 255) for number in range(6)])
    made = different_pictures(framed, 40, seed=1)
    assert made.shape == (40, 64, 64)
    assert made.dtype == np.uint8
    assert find_copies(made, progress=False) == []
    assert np.array_equal(made, different_pictures(framed, 40, seed=1))
    assert not np.array_equal(made, different_pictures(framed, 40, seed=2))


def test_the_command_writes_recall_and_time(folder, tmp_path, capsys):
    arguments = ["--images", str(folder / "Training"), "--output", str(tmp_path)]
    assert main([*arguments, "--slices", "2"]) == 0
    content = json.loads((tmp_path / "copies_recall.json").read_text())
    assert list(content["kinds"]) == list(CHANGES)
    assert content["kinds"]["plain"]["found"] == 2
    assert content["false_alarms"]["other_groups"]["reported"] == 1
    assert "| plain | 2 of 2 |" in (tmp_path / "copies_recall.md").read_text()
    with Image.open(tmp_path / "copies_recall.png") as picture:
        assert picture.width > 700
    assert main([*arguments, "--scale", "5"]) == 0
    search = json.loads((tmp_path / "copies_scale.json").read_text())["search"]
    assert search["pictures"] == [5, 5]
    assert search["minutes"] > 0
    assert 0.05 < search["before_gib"] <= search["peak_gib"] < 50
    capsys.readouterr()
    assert main([*arguments, "--slices", "0"]) == 2
    assert "--slices" in capsys.readouterr().err


def test_a_slice_whose_group_is_not_told_is_named(folder, tmp_path):
    (tmp_path / "groups.csv").write_text("image,group,group_source\nno_tumor/s1.png,g1,patient\n")
    assert main(["--images", str(folder / "Training"), "--groups", str(tmp_path / "groups.csv"), "--output", "x"]) == 2
