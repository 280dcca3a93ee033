from __future__ import annotations

import pytest

from braintumor_ext.classes import FOLDER_NAMES, Classes
from braintumor_ext.data.folder_scan import read_groups, scan_folder
from braintumor_ext.errors import InputError
from tests.data.folders import class_folders, write_mask_file, write_slice


def test_class_folders_are_found_below_training_or_directly(tmp_path):
    class_folders(tmp_path / "set" / "Training", per_class=2)
    from_root, from_training = scan_folder(tmp_path / "set"), scan_folder(tmp_path / "set" / "Training")
    assert [s.key for s in from_root.slices] == [s.key for s in from_training.slices]
    assert from_root.slices[0].key == "glioma_tumor/a0.png"
    assert from_root.slices[0].source == "Training/glioma_tumor/a0.png"
    assert {s.class_name for s in from_root.slices} == {"glioma", "meningioma", "pituitary", "no_tumor"}
    assert from_root.left_out == []
    assert from_root.notes == []


def test_a_published_test_part_is_marked(tmp_path):
    write_slice(tmp_path / "Training" / "glioma" / "a.png", 0)
    write_slice(tmp_path / "Testing" / "glioma" / "a.png", 1)
    scan = scan_folder(tmp_path)
    assert [(s.key, s.in_test_part) for s in scan.slices] == [("Testing/glioma/a.png", True), ("glioma/a.png", False)]
    assert scan.has_parts


def test_masks_are_found_by_stem_in_the_same_folder_or_in_one_of_the_same_class(tmp_path):
    for name in ("a", "b", "c"):
        write_slice(tmp_path / "images" / "glioma_tumor" / f"{name}.png", 0)
    write_slice(tmp_path / "images" / "meningioma" / "a.png", 1)
    same = write_mask_file(tmp_path / "masks" / "glioma_tumor" / "a.png")
    other = write_mask_file(tmp_path / "masks" / "Glioma" / "b.tif")
    spare = write_mask_file(tmp_path / "masks" / "glioma_tumor" / "zzz.png")
    scan = scan_folder(tmp_path / "images", tmp_path / "masks")
    assert {s.key: s.mask for s in scan.slices} == {
        "glioma_tumor/a.png": same,
        "glioma_tumor/b.png": other,
        "glioma_tumor/c.png": None,
        "meningioma/a.png": None,
    }
    assert any("1 mask(s)" in note and spare.name in note for note in scan.notes)


def test_masks_beside_the_class_folders_are_no_class(tmp_path):
    class_folders(tmp_path, per_class=1)
    write_mask_file(tmp_path / "masks" / "glioma_tumor" / "a0.png")
    assert len(scan_folder(tmp_path, tmp_path / "masks").slices) == 4
    assert scan_folder(tmp_path, tmp_path / "masks").left_out == []


def test_an_unknown_folder_is_left_out_with_a_remedy_and_the_rest_is_taken(tmp_path):
    class_folders(tmp_path, per_class=1)
    write_slice(tmp_path / "astro cytoma" / "x.png", 5)
    scan = scan_folder(tmp_path)
    assert len(scan.slices) == 4
    assert len(scan.left_out) == 1
    assert "astro cytoma" in str(scan.left_out[0])
    assert "--folder-map" in str(scan.left_out[0])
    assert len(scan_folder(tmp_path, folder_table={**FOLDER_NAMES, "astro_cytoma": "glioma"}).slices) == 5


def test_an_empty_class_folder_and_a_single_class_are_noted(tmp_path):
    write_slice(tmp_path / "glioma" / "a.png", 0)
    (tmp_path / "meningioma").mkdir()
    notes = "\n".join(scan_folder(tmp_path).notes)
    assert "meningioma holds no images" in notes
    assert "class 'pituitary' has no images" in notes
    assert "all images are of one class, 'glioma'" in notes


def test_other_class_lists_are_possible(tmp_path):
    write_slice(tmp_path / "Low grade" / "a.png", 0)
    write_slice(tmp_path / "High-Grade" / "a.png", 1)
    scan = scan_folder(tmp_path, classes=Classes(("low grade", "high_grade")))
    assert [s.class_name for s in scan.slices] == ["high_grade", "low grade"]


def test_a_folder_without_class_folders_is_one_clear_error(tmp_path):
    write_slice(tmp_path / "a.png", 0)
    with pytest.raises(InputError, match=r"no folder in it.*glioma.*--folder-map"):
        scan_folder(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        scan_folder(tmp_path / "nowhere")


def test_groups_are_read_with_any_separator_or_prefix(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text(
        "image,group\nglioma\\a.png,p1\nTraining/glioma/b.png,p2\nglioma/c.png,\nglioma/gone.png,p9\n", encoding="utf-8"
    )
    groups, notes = read_groups(table, ["glioma/a.png", "glioma/b.png", "glioma/c.png", "glioma/d.png"])
    assert groups == {"glioma/a.png": "p1", "glioma/b.png": "p2"}
    assert len(notes) == 2
    assert "gone.png" in notes[0]
    assert "2 image(s), e.g. 'glioma/c.png'" in notes[1]


def test_groups_of_a_test_part_need_no_prefix_unless_names_clash(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image,group\nglioma/a.png,p1\nglioma/b.png,p2\nTesting/glioma/a.png,p3\n", encoding="utf-8")
    groups, notes = read_groups(table, ["glioma/a.png", "Testing/glioma/a.png", "Testing/glioma/b.png"])
    assert groups == {"glioma/a.png": "p1", "Testing/glioma/b.png": "p2", "Testing/glioma/a.png": "p3"}
    assert notes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,group\na,b\n", "columns"),
        ("", "columns"),
        ("image,group\ng/a,p1\ng/a,p2\n", "two groups"),
        ("image;group\ng/a;p1\n", "columns"),
        ("image,group,group\ng/a,p1,p2\n", "once each"),
        ("image,group\n", "no row of it tells a group"),
        ("image,group\ng/a\n", "no row of it tells a group"),
    ],
)
def test_a_broken_table_of_groups_is_told(tmp_path, text, message):
    table = tmp_path / "groups.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_groups(table, ["g/a"])


@pytest.mark.real_data
def test_the_real_folder_is_found_whole(brain_tumor_mri):
    scan = scan_folder(brain_tumor_mri, brain_tumor_mri / "masks")
    assert len(scan.slices) == 2870
    assert sum(s.mask is not None for s in scan.slices) == 2473
    assert scan.left_out == []
    groups, notes = read_groups(brain_tumor_mri / "groups.csv", [s.key for s in scan.slices])
    assert len(groups) == 2870
    assert len(set(groups.values())) == 638
    assert notes == []


@pytest.mark.parametrize(
    "written",
    [
        "{folder}/head (1).png",
        "./{folder}/head (1).png",
        "{folder}/head (1)",
        "head (1).png",
        "head (1)",
        "/data/P/Training/{folder}/head (1).png",
        "C:\\data\\P\\{folder}\\head (1).png",
        "\ufeff{folder}/head (1).png",
    ],
)
def test_a_table_may_name_images_by_stem_file_or_longer_path(tmp_path, written):
    table = tmp_path / "groups.csv"
    image = written.format(folder="glioma_tumor").removeprefix("\ufeff")
    table.write_text(f"image,group\n{image},p1\n", encoding="utf-8-sig" if "\ufeff" in written else "utf-8")
    groups, notes = read_groups(table, ["glioma_tumor/head (1).png", "glioma_tumor/head (2).png"])
    assert groups == {"glioma_tumor/head (1).png": "p1"}
    assert len(notes) == 1
    assert "head (2).png" in notes[0]


def test_a_name_without_the_test_part_means_the_image_outside_it(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image,group\ng/a,p1\nTesting/g/a,p2\n")
    assert read_groups(table, ["Testing/g/a.png", "g/a.png"])[0] == {"g/a.png": "p1", "Testing/g/a.png": "p2"}


@pytest.mark.parametrize("keys", [["g/a.png", "m/a.png"], ["g/a.png", "g/a.jpg"]])
def test_a_name_that_fits_several_images_is_an_error(tmp_path, keys):
    table = tmp_path / "groups.csv"
    table.write_text("image,group\na,p1\n")
    with pytest.raises(InputError, match=r"a may be \w/a\.\w+ or \w/a"):
        read_groups(table, keys)


def test_a_table_that_fits_no_image_is_an_error_not_a_division_of_all_patients(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image,group\nother/a.png,p1\nother/b.png,p1\n")
    with pytest.raises(InputError, match=r"none of its 2 row\(s\) belongs to an image: 'other/a\.png'.*'g/a\.png'"):
        read_groups(table, ["g/a.png"])


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_is_told_in_one_line(tmp_path, encoding):
    table = tmp_path / "groups.csv"
    table.write_text("image,group\ng/a.png,M\u00fcller\n", encoding=encoding)
    with pytest.raises(InputError, match="UTF-8") as error:
        read_groups(table, ["g/a.png"])
    assert "\n" not in str(error.value)
