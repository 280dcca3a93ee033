"""What a header claims is held against the file and the limits before memory is taken."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import count_slices, read_slice
from braintumor_ext.transforms.limits import MOST_PIXELS, check_held, check_size, limit
from tests.memory import run_measured
from tests.transforms import claims
from tests.transforms.files import write_dicom

SETUP = """
import sys
from pathlib import Path
from braintumor_ext.errors import InputError
from braintumor_ext.transforms import count_slices, read_slice
from tests.transforms.files import gradient, write_dicom
folder = Path(sys.argv[1])
read_slice(write_dicom(folder / "first.dcm", gradient()))  # what readers load when they are first used
(folder / "first.dcm").unlink()
"""
READ_ALL = """
for path in sorted(folder.iterdir()):
    for read in (count_slices, lambda path: read_slice(path, 0)):
        try:
            read(path)
            print(path.name, "was read")
        except InputError as error:
            print(path.name, "was refused")
"""


def test_files_that_ask_for_much_are_refused_at_once_in_little_memory(tmp_path: Path) -> None:
    names = sorted(path.name for path in claims.write_all(tmp_path))
    told, took = run_measured(SETUP, READ_ALL, tmp_path)
    assert told.splitlines() == [f"{name} was refused" for name in names for _ in range(2)]
    assert took < 100, f"{took} MiB"


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (
            lambda folder: claims.nifti(folder / "a.nii", (64, 64, 32_767), 1_000),
            "1,352 bytes of pixels where its header needs 268,427,264",
        ),
        (lambda folder: claims.jpeg(folder / "a.jpg", 9_000, 9_000), "pixels where its header needs 81,000,000"),
        (lambda folder: claims.png(folder / "a.png", 8_000, 8_000), "needs 64,008,000"),
        (lambda folder: claims.gif(folder / "a.gif", 2_000, 2_000, 4_000), "BRAINTUMOR_MOST_BYTES"),
        (lambda folder: claims.gif(folder / "a.gif", 2, 2, 20_000), "BRAINTUMOR_MOST_SLICES"),
        (lambda folder: claims.png(folder / "a.png", 9_000, 9_000), "needs 81,009,000"),
        (lambda folder: claims.png(folder / "a.png", 200_000, 200_000), "BRAINTUMOR_MOST_PIXELS"),
    ],
)
def test_what_is_too_much_is_named_with_the_remedy(tmp_path: Path, write, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_slice(write(tmp_path), 0)


def test_the_limits_are_those_that_the_docs_tell() -> None:
    check_size("a", 8_192, 8_192, 1, 3)
    check_size("a", 512, 512, 512, 8)
    for size in ((9_460, 9_460, 1, 1), (8, 8, 2**14 + 1, 1), (1_024, 1_024, 1_025, 1)):
        with pytest.raises(InputError):
            check_size("a", *size)
    assert MOST_PIXELS == Image.MAX_IMAGE_PIXELS


def test_a_file_may_hold_exactly_what_it_claims() -> None:
    check_held("a", 1_000, 1_000)
    check_held("a", 1_032_000, 1_000, 1_032)
    with pytest.raises(InputError):
        check_held("a", 1_001, 1_000)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "gif", "nii.gz"])
def test_pictures_that_compress_best_are_still_read(tmp_path: Path, value: int, suffix: str) -> None:
    """One value throughout is what a format makes least bytes of: no check of claims may refuse it."""
    pixels = np.full((1_500, 1_500), value, np.uint8)
    path = tmp_path / f"even.{suffix}"
    if suffix == "nii.gz":
        nibabel.Nifti1Image(pixels, np.eye(4)).to_filename(path)
    else:
        options = {"jpg": {"optimize": True, "quality": 1, "progressive": True}, "tif": {"compression": "tiff_lzw"}}
        Image.fromarray(pixels).save(path, **options.get(suffix, {}))
    assert read_slice(path).shape[-2:] == (1_500, 1_500)


def test_the_environment_allows_more_or_less_and_what_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, wanted in (("", 7), (" 119999 ", 119_999), ("200000000", 200_000_000)):
        monkeypatch.setenv("BRAINTUMOR_MOST_PIXELS", text)
        assert limit("MOST_PIXELS", 7) == wanted
    for text in ("1 GB", "-1", "0", "1e9"):
        monkeypatch.setenv("BRAINTUMOR_MOST_PIXELS", text)
        with pytest.raises(InputError, match=f"BRAINTUMOR_MOST_PIXELS: '{text}' is no whole number above 0"):
            limit("MOST_PIXELS", 7)


@pytest.mark.slow
def test_a_limit_of_the_environment_holds(tmp_path: Path) -> None:
    """More pixels than Pillow takes by itself, and fewer slices than usual."""
    Image.fromarray(np.zeros((13_400, 13_400), np.uint8)).save(tmp_path / "large.png")
    claims.gif(tmp_path / "many.gif", 8, 8, 20)
    told, _ = run_measured(SETUP, READ_ALL, tmp_path, BRAINTUMOR_MOST_PIXELS="200000000", BRAINTUMOR_MOST_SLICES="19")
    assert told.splitlines() == ["large.png was read"] * 2 + ["many.gif was refused"] * 2


def test_each_slice_of_a_damaged_volume_has_the_same_error(tmp_path: Path) -> None:
    path = claims.nifti(tmp_path / "a.nii.gz", (64, 64, 12), 1_000)
    messages = set()
    for index in range(12):
        with pytest.raises(InputError) as caught:
            read_slice(path, index)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_dicom_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.zeros((8, 8), np.uint16), Rows=0)
    with pytest.raises(InputError, match="0 x 8"):
        count_slices(path)
