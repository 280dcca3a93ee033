"""Every file of a folder is accounted for: read, or left out by its reason."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, SegmentationStorage

from braintumor_ext.transforms import find_files, find_images
from braintumor_ext.transforms.found_files import (
    CLOSED,
    DICOMDIR,
    HIDDEN,
    LITTER,
    MASKS,
    NO_FILE,
    OTHER_FORMAT,
    FoundFiles,
)
from tests.transforms.files import gradient, write_dicom


def made(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(found: FoundFiles) -> tuple[list[str], dict[str, list[str]]]:
    def relative(paths: list[Path]) -> list[str]:
        return [path.relative_to(found.root).as_posix() for path in paths]

    return relative(found.files), {reason: relative(paths) for reason, paths in found.left_out.items()}


def test_litter_of_file_servers_and_hidden_files_are_left_out_by_their_names(tmp_path: Path) -> None:
    litter = ["@eaDir/x.png/SYNOPHOTO_THUMB_M.jpg", ".AppleDouble/x.png", "a/._x.png", "Thumbs.db", ".DS_Store"]
    litter += [
        "a/desktop.ini",
        "__MACOSX/x.png",
        "#recycle/x.png",
        "a/@Recycle/x.png",
        "$RECYCLE.BIN/x.png",
        "#snapshot/x.png",
    ]
    made(tmp_path, "x.png", "a/x.png", *litter, ".cache/x.png", ".hidden.png", "notes.txt", "a/groups.csv")
    files, left_out = names(find_files(tmp_path))
    assert files == ["a/x.png", "x.png"]
    assert left_out == {
        LITTER: sorted(litter),
        HIDDEN: [".cache/x.png", ".hidden.png"],
        OTHER_FORMAT: ["a/groups.csv", "notes.txt"],
    }
    assert find_files(tmp_path).count == 2 + len(litter) + 4


@pytest.mark.parametrize(
    "mask",
    [
        *("x_mask.png", "x_seg.png", "X-Mask.PNG", "x mask.tif", "x_mask_1.png", "x_segmentation.nii.gz"),
        *("mask_x.png", "Seg-X.nii.gz", "x (mask).png", "x_tumor_mask.png", "x-tumour-seg.png", "x_roi.png"),
    ],
)
@pytest.mark.parametrize("image", ["x.png", "X.jpg", "x.nii.gz"])
def test_a_mask_beside_its_image_is_left_out(tmp_path: Path, image: str, mask: str) -> None:
    made(tmp_path, image, mask, f"alone/{mask}")
    files, left_out = names(find_files(tmp_path))
    assert files == sorted([image, f"alone/{mask}"])  # without its image, it may be a slice
    assert left_out == {MASKS: [mask]}


@pytest.mark.parametrize(
    "name",
    ["x_masked.png", "xmask.png", "unmask_x.png", "x_1.png", "mask.png", "x_seg2.png", "masked_x.png", "x_tumor.png"],
)
def test_other_names_are_no_masks(tmp_path: Path, name: str) -> None:
    assert len(find_images(made(tmp_path, "x.png", "un.png", name))) == 3


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("x.png", "masks/x.png"),
        ("images/x.png", "masks/x_mask.png"),
        ("images/glioma/x.jpg", "Masks/glioma/x.png"),
        ("glioma/x.png", "glioma/segmentations/x.nii.gz"),
    ],
)
def test_a_folder_of_masks_beside_the_images_is_left_out(tmp_path: Path, image: str, mask: str) -> None:
    assert names(find_files(made(tmp_path, image, mask))) == ([image], {MASKS: [mask]})


@pytest.mark.parametrize("files", [("masks/x.png",), ("images/y.png", "masks/x.png"), ("labels/x.png", "roi/a/x.png")])
def test_a_folder_called_masks_is_read_where_no_image_has_its_files_names(tmp_path: Path, files: tuple[str]) -> None:
    assert names(find_files(made(tmp_path, *files))) == (list(files), {})


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        (SegmentationStorage, "Segmentation"),
        ("1.2.840.10008.5.1.4.1.1.88.33", "Comprehensive SR"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RT Structure Set"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "Grayscale Softcopy Presentation State"),
        ("1.2.840.10008.1.3.10", "Media Storage Directory"),
    ],
)
@pytest.mark.parametrize("file", ["object.dcm", "IM0001"])
def test_a_dicom_object_without_an_image_is_left_out_by_its_kind(
    tmp_path: Path, uid: str, name: str, file: str
) -> None:
    write_dicom(tmp_path / "a.dcm", gradient())
    write_dicom(tmp_path / file, gradient(), SOPClassUID=UID(uid))
    files, left_out = names(find_files(tmp_path))
    assert files == ["a.dcm"]
    assert left_out == {f"DICOM without an image ({name})": [file]}


@pytest.mark.parametrize("uid", ["MR", "CT", "Enhanced MR", "Secondary Capture", "Legacy Converted Enhanced MR"])
def test_a_dicom_image_of_any_kind_is_read_and_so_is_what_has_no_kind(tmp_path: Path, uid: str) -> None:
    known = next(key for key, entry in pydicom._uid_dict.UID_dictionary.items() if entry[0] == f"{uid} Image Storage")
    write_dicom(tmp_path / "a.dcm", gradient(), SOPClassUID=UID(known))
    write_dicom(tmp_path / "b.dcm", gradient(), SOPClassUID=UID("1.2.3.4"))
    made(tmp_path, "broken.dcm")
    assert names(find_files(tmp_path)) == (["a.dcm", "b.dcm", "broken.dcm"], {})


def test_a_dicomdir_is_left_out(tmp_path: Path) -> None:
    write_dicom(tmp_path / "DICOMDIR", gradient())
    assert names(find_files(tmp_path)) == ([], {DICOMDIR: ["DICOMDIR"]})


def test_the_files_of_the_collected_folder_are_all_accounted_for(odd_inputs: Path) -> None:
    found = find_files(odd_inputs / "dicom-no-preamble")
    assert names(found) == (["IM0000", "IMOLD"], {"DICOM without an image (Segmentation)": ["seg.dcm"]})


def test_linked_folders_are_searched_once_and_never_in_circles(tmp_path: Path) -> None:
    made(tmp_path / "elsewhere", "y.png", "deep/z.png")
    root = made(tmp_path / "root", "a/x.png", "b/w.png")
    for link, target in {
        "a/elsewhere": tmp_path / "elsewhere",
        "a/again": tmp_path / "elsewhere",
        "a/deep": tmp_path / "elsewhere" / "deep",
        "a/up": root,
        "a/above": tmp_path,
        "b/self": root / "b",
        "a/sister": root / "b",
        "c": root / "a",
    }.items():
        os.symlink(target, root / link)
    os.symlink(tmp_path / "elsewhere", tmp_path / "elsewhere" / "deep" / "round")
    os.symlink(tmp_path / "nowhere", root / "broken.png")
    os.symlink(root / "loop.png", root / "loop.png")
    os.symlink(root / "a" / "x.png", root / "linked.png")
    files, left_out = names(find_files(root))
    assert sorted(Path(file).name for file in files) == ["linked.png", "w.png", "x.png", "y.png", "z.png"]
    assert left_out == {NO_FILE: ["broken.png", "loop.png"]}


def test_a_class_folder_s_link_to_the_whole_set_gives_it_no_images_of_other_classes(tmp_path: Path) -> None:
    made(tmp_path, "glioma/a.png", "no_tumor/b.png")
    os.symlink(tmp_path, tmp_path / "glioma" / "all")
    assert [path.name for path in find_images(tmp_path / "glioma")] == ["a.png"]


def test_pipes_are_no_files_and_the_order_does_not_depend_on_the_links(tmp_path: Path) -> None:
    root = made(tmp_path / "root", "b.png", "z/1.png")
    made(tmp_path / "other", "2.png")
    os.symlink(tmp_path / "other", root / "a")
    os.mkfifo(root / "c.png")
    assert names(find_files(root)) == (["a/2.png", "b.png", "z/1.png"], {NO_FILE: ["c.png"]})


@pytest.fixture
def plain_folder() -> Iterator[Path]:
    """A folder of a user whom modes bind: root, who may open all, becomes nobody for the test."""
    root, nobody = os.geteuid() == 0, 65534
    with tempfile.TemporaryDirectory() as folder:
        if root:
            os.chown(folder, nobody, nobody)
            os.seteuid(nobody)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_what_cannot_be_opened_is_told(plain_folder: Path) -> None:
    made(plain_folder, "a.png", "closed/b.png", "IM1")
    (plain_folder / "closed").chmod(0)
    (plain_folder / "IM1").chmod(0)
    assert names(find_files(plain_folder)) == (["a.png"], {CLOSED: ["IM1", "closed"]})
    (plain_folder / "closed").chmod(0o700)


def test_each_reason_is_told_in_a_line_with_a_few_names(tmp_path: Path) -> None:
    made(tmp_path, "x.png", *(f"{n}/Thumbs.db" for n in range(7)), "two\nlines.txt")
    told = find_files(tmp_path).told(2)
    assert any(line.startswith("7 ") and line.endswith("0/Thumbs.db, 1/Thumbs.db and 5 more") for line in told)
    assert any(line.endswith(r"two\nlines.txt") for line in told)


def test_a_file_that_is_given_by_itself_is_read_whatever_it_is(tmp_path: Path) -> None:
    made(tmp_path, "x.png", "x_mask.png")
    assert find_images(tmp_path / "x_mask.png") == [tmp_path / "x_mask.png"]
