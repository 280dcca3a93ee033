from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.inference import list_inputs, parse_slices


def write_picture(path: Path, frames: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pages = [Image.fromarray(np.tile(np.arange(12, dtype=np.uint8), (10, 1)) + n) for n in range(frames)]
    pages[0].save(path, **({"save_all": True, "append_images": pages[1:]} if frames > 1 else {}))
    return path


def write_volume(path: Path, slices: int = 5) -> Path:
    array = np.arange(10 * 12 * slices, dtype=np.float32).reshape(10, 12, slices)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    return path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ("", None),
        ("none", None),
        ("None", None),
        ("all", "all"),
        ("middle", "middle"),
        (0, 0),
        ("0", 0),
        (7, 7),
        ("12", 12),
    ],
)
def test_slices_are_all_middle_an_index_or_none(given, expected):
    found = parse_slices(given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("given", ["some", "-1", -1, 1.5, "1.5", True, "1,2", "al"])
def test_any_other_choice_of_slices_is_refused_by_name(given):
    with pytest.raises(InputError, match=r"--slices: .* is no choice of slices\. Give all, middle or an index"):
        parse_slices(given)


def test_files_of_any_depth_come_sorted_by_relative_path(tmp_path):
    for name in ("b.png", "a b/z (1).JPG", "a/c.bmp", "B.tif", "a-b.png"):
        write_picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no slice")
    names = [item["name"] for item in list_inputs(tmp_path)]
    assert names == ["B.tif", "a b/z (1).JPG", "a-b.png", "a/c.bmp", "b.png"]


def test_one_file_is_named_as_itself(tmp_path):
    path = write_picture(tmp_path / "deep" / "my slice.png")
    assert list_inputs(path) == [{"image": str(path), "name": "my slice.png", "stem": "my slice"}]


def test_two_files_never_share_an_output(tmp_path):
    names = [
        "a.png",
        "a.jpg",
        "a.png.bmp",
        "A.tif",
        "d/a.png",
        "v_slice001.png",
        "w.png",
        "1.2.840.1.png",
        "1.2.840.2.png",
    ]
    for name in names:
        write_picture(tmp_path / name)
    write_volume(tmp_path / "v.nii.gz")
    write_volume(tmp_path / "w.nii")
    items = list_inputs(tmp_path, slices="all")
    stems = {item["name"]: item["stem"] for item in items}
    outputs = [item["stem"] + (f"_slice{item['slice']:03d}" if "slice" in item else "") for item in items]
    assert len({output.lower() for output in outputs}) == len(items) == len(names) + 10
    assert len({stem.lower() for stem in stems.values()}) == len(stems)
    assert stems["d/a.png"] == "d/a"
    assert stems["1.2.840.1.png"] == "1.2.840.1"
    assert stems["a.png"] == "a.png"


@pytest.mark.parametrize(("slices", "expected"), [("all", [0, 1, 2, 3, 4]), ("middle", [2]), (1, [1]), (9, [9])])
def test_slices_of_a_volume(tmp_path, slices, expected):
    path = write_volume(tmp_path / "v.nii.gz")
    assert [item["slice"] for item in list_inputs(path, slices=slices)] == expected


def test_frames_of_a_picture_are_slices_too(tmp_path):
    path = write_picture(tmp_path / "frames.tif", frames=3)
    assert [item["slice"] for item in list_inputs(path, slices="all")] == [0, 1, 2]


def test_a_file_of_one_slice_is_taken_whatever_slices_says(tmp_path):
    path = write_volume(tmp_path / "v.nii.gz", slices=1)
    for slices in ("all", "middle", 4, None):
        assert "slice" not in list_inputs(path, slices=slices)[0]


def test_a_volume_without_a_choice_of_slices_is_one_input_that_reading_will_refuse(tmp_path):
    assert "slice" not in list_inputs(write_volume(tmp_path / "v.nii.gz"))[0]


def test_an_unreadable_file_is_one_input(tmp_path):
    write_picture(tmp_path / "good.png")
    (tmp_path / "bad.nii.gz").write_bytes(b"\x1f\x8b no gzip")
    assert [item["name"] for item in list_inputs(tmp_path, slices="all")] == ["bad.nii.gz", "good.png"]


def test_the_output_folder_is_left_out_where_it_lies_among_the_inputs(tmp_path):
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "out" / "masks" / "a.png")
    write_picture(tmp_path / "out2" / "b.png")
    assert [item["name"] for item in list_inputs(tmp_path, exclude=tmp_path / "out")] == ["a.png", "out2/b.png"]


def test_the_log_accounts_for_every_file(tmp_path, caplog):
    caplog.set_level("INFO")
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "a_mask.png")
    write_picture(tmp_path / "@eaDir" / "a.png" / "thumb.jpg")
    write_picture(tmp_path / "out" / "masks" / "a.png")
    write_volume(tmp_path / "v.nii.gz")
    (tmp_path / "notes.txt").write_text("no slice")
    items = list_inputs(tmp_path, "all", exclude=tmp_path / "out")
    first, *rest = caplog.messages
    assert first == f"{len(items)} slices of 6 files in {tmp_path}: 2 read."
    assert sum(int(line.split()[2]) for line in rest) == 4
    for name in ("a_mask.png", "@eaDir/a.png/thumb.jpg", "out/masks/a.png", "notes.txt"):
        assert sum(line.endswith(f": {name}.") for line in rest) == 1


def test_inputs_that_lie_in_the_output_folder_are_read(tmp_path):
    write_picture(tmp_path / "out" / "slices" / "a.png")
    assert len(list_inputs(tmp_path / "out" / "slices", exclude=tmp_path / "out")) == 1


def test_the_folder_of_inputs_cannot_be_the_output_folder(tmp_path):
    write_picture(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"folder of the inputs itself.*--output_dir"):
        list_inputs(tmp_path, exclude=tmp_path / "sub" / "..")


def test_nothing_to_read_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "notes.txt").write_text("no slice")
    with pytest.raises(InputError, match=r"no supported file.*--dataset_dir.*PNG"):
        list_inputs(tmp_path)
    (tmp_path / "notes.txt").rename(tmp_path / "Thumbs.db")
    with pytest.raises(InputError, match=r"no supported file in it \(left out: 1 .*Thumbs\.db\)"):
        list_inputs(tmp_path)
    with pytest.raises(InputError, match=r"nowhere: no such file or folder.*--dataset_dir"):
        list_inputs(tmp_path / "nowhere")
