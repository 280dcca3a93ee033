from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import decollate_batch, list_data_collate
from PIL import Image

from braintumor_ext.transforms import (
    LoadImageSliced,
    read_slice,
    restore_grid,
    restore_volume,
    write_mask,
    write_volume_mask,
)
from tests.transforms.files import gradient, write_dicom


def random_mask(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < 0.3


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def affine_of(linear: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, (12, -34, 56)
    return affine


AFFINES = {
    "L P S": affine_of(np.diag([-0.5, -0.8, 4.0])),
    "R A S": affine_of(np.diag([0.5, 0.8, 4.0])),
    "R A I": affine_of(np.diag([0.5, 0.8, -4.0])),
    "sagittal, axes in a cycle": affine_of(np.array([[0, 0, 4.0], [-0.5, 0, 0], [0, 0.8, 0]])),
    "coronal, slices first": affine_of(np.array([[0, 0.5, 0], [4.0, 0, 0], [0, 0, -0.8]])),
    "oblique": affine_of(rotation(15) @ np.diag([-0.5, 0.8, 4.0])),
    "oblique sagittal": affine_of(rotation(20) @ np.array([[0, 0, -4.0], [0.5, 0, 0], [0, -0.8, 0]])),
}


@pytest.mark.parametrize("name", AFFINES)
def test_a_nifti_mask_has_the_input_s_shape_and_affine_and_every_pixel_its_place(tmp_path: Path, name: str) -> None:
    affine = AFFINES[name]
    thick = int(np.argmax(np.linalg.norm(affine[:3, :3], axis=0)))
    shape = np.insert([20, 30], thick, 6)
    path = tmp_path / "v.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(shape.prod(), dtype=np.int16).reshape(shape), affine), path)
    image = read_slice(path, 4)
    mask = random_mask(*image.shape[1:])
    written = nib.load(write_mask(mask, image.meta, tmp_path / "out" / "v"))
    source = nib.load(path)
    assert written.shape == source.shape
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-6)
    # The very voxels under the mask's pixels are set: their values in the volume are those of the displayed slice.
    chosen = np.asanyarray(source.dataobj)[np.asanyarray(written.dataobj) == 1]
    np.testing.assert_array_equal(np.sort(chosen), np.sort(image[0].numpy()[mask]))
    # And reading it back as a slice gives the mask.
    np.testing.assert_array_equal(read_slice(tmp_path / "out" / "v.nii.gz", 4)[0].numpy(), mask)


@pytest.mark.parametrize("shape", [(30, 20), (30, 20, 1), (30, 1, 20), (30, 20, 1, 1)])
def test_a_one_slice_nifti_keeps_its_number_of_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(gradient(30, 20, np.int16).reshape(shape), np.diag([1.0, 1, 2, 1])), tmp_path / "a.nii")
    image = read_slice(tmp_path / "a.nii")
    mask = random_mask(*image.shape[1:])
    written = write_mask(mask, image.meta, tmp_path / "m")
    assert nib.load(written).shape == shape
    np.testing.assert_array_equal(read_slice(written)[0].numpy(), mask)


def test_a_dicom_mask_lies_where_itk_places_the_image(tmp_path: Path) -> None:
    linear = rotation(12)
    path = write_dicom(
        tmp_path / "a.dcm",
        gradient(dtype=np.int16),
        ImageOrientationPatient=[*linear[:, 0].round(9), *linear[:, 1].round(9)],
    )
    mask = np.zeros((40, 30), bool)
    mask[33, 7] = True  # one pixel: row 33, column 7
    written = itk.imread(str(write_mask(mask, read_slice(path).meta, tmp_path / "m")))
    image = itk.imread(str(path))
    assert list(itk.size(written)) == list(itk.size(image)) == [30, 40, 1]
    assert written.GetPixel([7, 33, 0]) == 1
    np.testing.assert_allclose(
        written.TransformIndexToPhysicalPoint([7, 33, 0]), image.TransformIndexToPhysicalPoint([7, 33, 0]), atol=1e-3
    )


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_a_picture_s_mask_is_a_png_of_its_size(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(gradient()).save(tmp_path / f"a.{suffix}")
    mask = random_mask(40, 30)
    written = write_mask(mask, read_slice(tmp_path / f"a.{suffix}").meta, tmp_path / "a.1.2")
    assert written.name == "a.1.2.png"
    with Image.open(written) as picture:
        assert picture.size == (30, 40)
        np.testing.assert_array_equal(np.asarray(picture), mask * 255)


def test_several_slices_make_one_volume(tmp_path: Path) -> None:
    path = tmp_path / "v.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((20, 30, 6), np.int16), np.diag([1.0, 1, 5, 1])), path)
    meta = read_slice(path, 0).meta
    masks = {1: random_mask(30, 20, 1), 4: random_mask(30, 20, 4)}
    volume = nib.load(write_volume_mask(masks, meta, tmp_path / "m"))
    assert np.flatnonzero(np.asanyarray(volume.dataobj).any(axis=(0, 1))).tolist() == [1, 4]
    for index, mask in masks.items():
        np.testing.assert_array_equal(read_slice(tmp_path / "m.nii.gz", index)[0].numpy(), mask)


def test_the_masks_of_a_picture_s_frames_make_a_tiff_of_as_many(tmp_path: Path) -> None:
    frames = [Image.fromarray(gradient() + k) for k in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    mask = random_mask(40, 30)
    written = write_volume_mask({1: mask}, read_slice(tmp_path / "a.tif", 0).meta, tmp_path / "m")
    assert [read_slice(written, k).sum().item() for k in range(3)] == [0, mask.sum() * 255, 0]


def test_metadata_that_went_through_a_batch_still_serve(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", gradient(dtype=np.int16))
    item = decollate_batch(list_data_collate([LoadImageSliced("image")({"image": path})] * 2))[1]
    mask = random_mask(40, 30)
    array, affine = restore_grid(torch.as_tensor(mask)[None], item["image"].meta)
    expected, expected_affine = restore_grid(mask, read_slice(path).meta)
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(affine, expected_affine)


def test_a_mask_of_another_size_or_slice_is_refused(tmp_path: Path) -> None:
    meta = read_slice(write_dicom(tmp_path / "a.dcm", gradient(dtype=np.int16))).meta
    with pytest.raises(ValueError, match=r"\(30, 40\) does not fit"):
        restore_grid(np.zeros((30, 40)), meta)
    with pytest.raises(ValueError, match="no slice 1"):
        restore_volume({1: np.zeros((40, 30))}, meta)


@pytest.mark.real_data
def test_real_masks_come_back_to_their_own_voxels(nifti_glioblastoma: Path, dicom_head: Path, tmp_path: Path) -> None:
    source = nib.load(nifti_glioblastoma / "case01_mask.nii.gz")
    stored = np.asanyarray(source.dataobj) > 0
    index = int(stored.sum(axis=(0, 1)).argmax())
    meta = read_slice(nifti_glioblastoma / "case01.nii.gz", index).meta
    mask = read_slice(nifti_glioblastoma / "case01_mask.nii.gz", index)[0] > 0
    array, affine = restore_grid(mask, meta)
    np.testing.assert_array_equal(array[..., index], stored[..., index])
    np.testing.assert_allclose(affine, source.affine)
    meta = read_slice(min(dicom_head.iterdir())).meta
    written = nib.load(write_mask(random_mask(384, 274), meta, tmp_path / "m"))
    assert written.shape == (274, 384, 1)
    np.testing.assert_allclose(written.header.get_zooms()[:2], (0.7, 2 / 3), atol=1e-4)


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (0, 4), (3, 0), (0, 0)], ids=str)
def test_a_nifti_mask_says_where_it_is_in_every_way_that_its_image_does(tmp_path: Path, codes: tuple[int, int]) -> None:
    """qform and sform disagree: programs that read one or the other must place mask and image alike."""
    turned = nib.affines.from_matvec(np.diag([-0.9, -0.7, 5.0]), [20, 30, -40])
    image = nib.Nifti1Image(np.stack([gradient(40, 30, np.int16).T] * 6, axis=2), None)
    image.header.set_zooms((0.9, 0.7, 5.0))
    image.header.set_qform(turned if codes[0] else None, codes[0])
    image.header.set_sform(np.diag([0.9, 0.7, 5.0, 1.0]) if codes[1] else None, codes[1])
    nib.save(image, tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    read = read_slice(tmp_path / "a.nii.gz", 2)
    found = nib.load(write_mask(np.ones(read.shape[1:]), read.meta, tmp_path / "m"))
    for name in ("qform_code", "sform_code"):
        assert found.header[name] == image.header[name]
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-6)
    np.testing.assert_allclose(found.header.get_qform(), image.header.get_qform(), atol=1e-6)
    np.testing.assert_allclose(found.header.get_sform(), image.header.get_sform(), atol=1e-6)
    itk_image, itk_mask = (itk.imread(str(path)) for path in (tmp_path / "a.nii.gz", tmp_path / "m.nii.gz"))
    np.testing.assert_allclose(np.asarray(itk_mask.GetOrigin()), np.asarray(itk_image.GetOrigin()), atol=1e-4)
    np.testing.assert_allclose(np.asarray(itk_mask.GetDirection()), np.asarray(itk_image.GetDirection()), atol=1e-5)
