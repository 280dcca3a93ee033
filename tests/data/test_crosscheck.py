from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from scripts.crosscheck import main
from tests.data.folders import grey_slice


@pytest.fixture
def folders(tmp_path):
    """Two folders: of the first's three slices the second holds one mirrored, beside a stranger and a broken file."""
    for name, picture in {
        "a/x/one.png": grey_slice(1, 120, 110),
        "a/two.png": grey_slice(2, 120, 110),
        "a/$three$.png": grey_slice(3, 120, 110),
        "b/mirrored.png": np.ascontiguousarray(grey_slice(2, 120, 110)[:, ::-1]),
        "b/stranger.png": grey_slice(4, 120, 110),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "b" / "broken.png").write_bytes(b"no picture")
    return tmp_path


def rows(folder):
    with (folder / "copies.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_shared_image_of_two_folders_is_told_and_drawn_and_a_broken_file_stops_nothing(folders, capsys):
    assert main([str(folders / "a"), str(folders / "b"), "--output", str(folders / "out")]) == 1
    (row,) = rows(folders / "out")
    assert row["first"] == (folders / "a" / "two.png").as_posix()
    assert row["second"] == (folders / "b" / "mirrored.png").as_posix()
    assert float(row["likeness"]) > 0.95
    assert row["mirrored"] == "1"
    with Image.open(folders / "out" / "copies.png") as picture:
        assert picture.size[0] > 500
    told = capsys.readouterr()
    assert "broken.png" in told.err
    assert "1 pairs" in told.out
    assert "1 of 3" in told.out


def test_a_folder_without_copies_has_an_empty_table_and_no_picture_left_of_an_earlier_run(folders):
    (folders / "out").mkdir()
    (folders / "out" / "copies.png").write_bytes(b"old")
    assert main([str(folders / "a"), "--output", str(folders / "out")]) == 0
    assert rows(folders / "out") == []
    assert not (folders / "out" / "copies.png").exists()


def test_copies_within_one_folder_are_told(folders):
    Image.open(folders / "a" / "two.png").resize((80, 90)).save(folders / "a" / "x" / "small.png")
    assert main([str(folders / "a"), "--output", str(folders / "out")]) == 0
    (row,) = rows(folders / "out")
    assert {row["first"].rpartition("/")[2], row["second"].rpartition("/")[2]} == {"two.png", "small.png"}


@pytest.mark.parametrize("folder", ["absent", "empty", "b/broken.png"])
def test_nothing_to_compare_is_one_clear_error(folders, folder, capsys):
    (folders / "empty").mkdir()
    assert main([str(folders / folder), "--output", str(folders / "out")]) == 2
    assert "error: " in capsys.readouterr().err
    assert not (folders / "out").exists()
