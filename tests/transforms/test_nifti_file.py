from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import count_slices, read_grey, read_slice
from tests.transforms.files import gradient

LPS = np.diag([-0.5, -0.8, 4.0, 1.0])  # axes run to L, P, S: array[i, j, k] is column i, row j of axial slice k


def save(path: Path, data: np.ndarray, affine: np.ndarray = LPS) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 1), (30, 40, 1, 1)])
@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "hdr"])
def test_one_slice_may_be_stored_with_two_to_four_axes(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    pixels = gradient(40, 30, np.int16)
    path = tmp_path / f"a.{suffix}"
    if suffix == "hdr":
        nib.save(nib.Nifti1Pair(pixels.T.reshape(shape), LPS), path)
    else:
        save(path, pixels.T.reshape(shape))
    read = read_slice(path)
    np.testing.assert_array_equal(read[0].numpy(), pixels)
    assert read.meta["slice_index"] == -1
    assert read.meta["native_ndim"] == len(shape)
    np.testing.assert_allclose(read.meta["spacing"], [0.8, 0.5])


def test_8_bit_slices_agree_with_the_picture_of_the_same_pixels(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    nifti = save(tmp_path / "a.nii.gz", gradient().T)
    np.testing.assert_array_equal(read_grey(nifti), read_grey(tmp_path / "a.png"))


def test_scaled_8_bit_values_are_not_ready_for_display(tmp_path: Path) -> None:
    image = nib.Nifti1Image(gradient().T, LPS)
    image.header.set_slope_inter(2.0, -3.0)
    nib.save(image, tmp_path / "a.nii")
    stored = nib.load(tmp_path / "a.nii")
    read = read_slice(tmp_path / "a.nii")
    np.testing.assert_array_equal(read[0].numpy(), np.asarray(stored.dataobj).T.astype(np.float32))
    assert read.meta["bits"] == 16


def test_a_volume_needs_a_slice_and_its_index_counts_in_file_order(tmp_path: Path) -> None:
    volume = np.stack([gradient(dtype=np.int16).T + 100 * k for k in range(5)], axis=-1)
    path = save(tmp_path / "a.nii.gz", volume)
    assert count_slices(path) == 5
    np.testing.assert_array_equal(read_slice(path, 3)[0].numpy(), volume[..., 3].T)
    with pytest.raises(InputError, match=r"holds 5 slices.*--slices all.*--slices middle.*0 to 4"):
        read_slice(path)
    for index in (-1, 5):
        with pytest.raises(InputError, match=rf"has no slice {index}.*0 to 4"):
            read_slice(path, index)


def test_a_fourth_axis_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.zeros((8, 8, 4, 3), np.int16))
    with pytest.raises(InputError, match=r"\(8, 8, 4, 3\)"):
        read_slice(path, 0)
    with pytest.raises(InputError, match=r"\(8, 8, 4, 3\)"):
        count_slices(path)


@pytest.mark.parametrize("kind", ["complex", "colour"])
def test_values_that_are_no_grey_are_an_error(tmp_path: Path, kind: str) -> None:
    data = np.zeros((8, 8, 1), np.complex64 if kind == "complex" else np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    with pytest.raises(InputError, match="one grey value"):
        read_slice(save(tmp_path / "a.nii", data))


def test_a_flat_affine_is_an_error(tmp_path: Path) -> None:
    image = nib.Nifti1Image(gradient().T, None)
    image.header.set_sform(np.diag([0.0, 1, 1, 1]), code=1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match="affine"):
        read_slice(tmp_path / "a.nii")


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("kept", [0.05, 0.6])
def test_a_truncated_file_is_an_error(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 9999, (64, 64, 1), dtype=np.int16)
    path = save(tmp_path / f"a.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(InputError, match="truncated") as caught:
        read_slice(path)
    assert str(path) in str(caught.value)


@pytest.mark.real_data
def test_a_real_volume_is_shown_axially_with_its_mask_in_place(nifti_glioblastoma: Path) -> None:
    path = nifti_glioblastoma / "case01.nii.gz"
    assert count_slices(path) == 24
    stored = np.asarray(nib.load(path).dataobj)  # axes run to L, P, S
    np.testing.assert_array_equal(read_slice(path, 12)[0].numpy(), stored[..., 12].T.astype(np.float32))


@pytest.mark.parametrize(
    ("written", "name", "renamed"),
    [
        ("a.nii", "b.nii.gz", "b.nii"),
        ("a.nii", "b.png", "b.nii"),
        ("a.nii", "b.dcm", "b.nii"),
        ("a.nii", "b", "b.nii"),
        ("a.nii.gz", "b.nii", "b.nii.gz"),
        ("a.nii.gz", "b.gz", "b.nii.gz"),
        ("a.nii.gz", "b.png", "b.nii.gz"),
    ],
)
def test_a_file_with_another_suffix_is_told_the_name_under_which_it_is_read(tmp_path, written, name, renamed):
    values = np.arange(60, dtype=np.float32).reshape(6, 10, 1)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / written)
    (tmp_path / written).rename(tmp_path / name)
    with pytest.raises(InputError, match=rf"is a .*NIfTI file.*, whatever its name says\. Rename it to {renamed}\.$"):
        read_slice(tmp_path / name)
    (tmp_path / name).rename(tmp_path / renamed)
    assert float(read_slice(tmp_path / renamed).max()) == 59


def test_a_truncated_file_of_the_right_name_is_still_called_damaged(tmp_path):
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((6, 10, 4)), np.eye(4)), tmp_path / "a.nii.gz")
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_slice(tmp_path / "a.nii.gz")


def test_a_flipped_bit_of_a_gzipped_file_is_noticed(tmp_path):
    """Each of 40: most still are a stream of voxels, of other values."""
    volume = np.random.default_rng(0).normal(500, 100, (16, 16, 8)).astype(np.int16)
    nib.Nifti1Image(volume, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    content = (tmp_path / "a.nii.gz").read_bytes()
    for number, place in enumerate(np.linspace(20, len(content) - 5, 40).astype(int)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << number % 8
        (tmp_path / "b.nii.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"b\.nii\.gz"):
            read_slice(tmp_path / "b.nii.gz", 3)
