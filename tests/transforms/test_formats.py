import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import SUPPORTED_SUFFIXES, find_images, is_supported, read_slice
from braintumor_ext.transforms.formats import container_of
from tests.transforms.files import gradient, write_dicom


@pytest.mark.parametrize("name", ["a.png", "A.JPG", "b.jpeg", "c.tif", "d.bmp", "e.nii", "e.NII.gz", "f.dcm", "g.IMA"])
def test_image_suffixes_are_supported_in_any_case(name: str) -> None:
    assert is_supported(Path("somewhere") / name)


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "groups", "a.gz", "a.npy", "a.dcm.bak", "1.2.3"])
def test_other_names_are_not_supported(name: str) -> None:
    assert not is_supported(name)


def test_a_dicom_file_without_suffix_is_known_by_its_signature(tmp_path: Path) -> None:
    for name in ("IM00001", "1.2.840.113619.2"):
        assert is_supported(write_dicom(tmp_path / name, gradient()))
    assert not is_supported(write_dicom(tmp_path / "DICOMDIR", gradient()))


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    wrong = write_dicom(tmp_path / "slice.png", gradient())
    assert container_of(wrong) == "dicom"
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.dcm")
    assert container_of(tmp_path / "x.dcm") == "picture"


def test_images_are_found_at_any_depth_in_the_order_of_their_relative_paths(tmp_path: Path) -> None:
    names = ["b/2.png", "b/10.png", "a.jpg", "a/z.nii.gz", "a-b/c.dcm", "B/1.bmp"]
    for name in [*names, "notes.txt", ".hidden.png", ".cache/x.png", "b/.y.jpg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == sorted(names)


def test_a_hidden_parent_of_the_root_hides_nothing(tmp_path: Path) -> None:
    root = tmp_path / ".data"
    root.mkdir()
    (root / "a.png").write_bytes(b"x")
    assert find_images(root) == [root / "a.png"]


def test_one_file_is_found_as_itself(tmp_path: Path) -> None:
    (tmp_path / "odd.name").write_bytes(b"x")
    assert find_images(tmp_path / "odd.name") == [tmp_path / "odd.name"]


def test_an_absent_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_images(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.png", b"", "empty"),
        ("a.jpg", b"These are notes, no image.", "is no picture"),
        ("a.xyz", b"what is it", "unsupported format"),
        ("a.nii.gz", gzip.compress(bytes(range(256)) * 2, mtime=0)[:60], "cannot be read"),
    ],
)
def test_a_file_of_no_known_content_is_an_error(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        container_of(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        container_of(tmp_path / "absent.png")
    with pytest.raises(InputError, match="is a folder"):
        container_of(tmp_path)


def test_every_supported_suffix_is_lower_case_with_its_dot() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUPPORTED_SUFFIXES)
    assert np.unique(SUPPORTED_SUFFIXES).size == len(SUPPORTED_SUFFIXES)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_dicom_file_from_before_the_preamble_is_known(tmp_path: Path, implicit: bool) -> None:
    whole = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", gradient(dtype=np.int16)))
    whole.preamble, whole.file_meta = None, pydicom.dataset.FileMetaDataset()
    old = tmp_path / "IM1"
    pydicom.dcmwrite(old, whole, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    assert old.read_bytes()[128:132] != b"DICM"
    assert is_supported(old)
    assert container_of(old) == "dicom"
    np.testing.assert_array_equal(read_slice(old)[0].numpy(), gradient(dtype=np.int16))
