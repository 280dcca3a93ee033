from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Rotate
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import (
    CheckSameSized,
    LoadImageSlice,
    LoadImageSliced,
    ToBinaryMask,
    ToBinaryMaskd,
    read_mask,
)
from tests.transforms.files import gradient


@pytest.fixture
def truth() -> np.ndarray:
    mask = np.zeros((40, 30), bool)
    mask[8:20, 5:12] = True
    return mask


@pytest.mark.parametrize("kind", ["1 bit", "0/255", "0/1", "RGB", "RGBA", "labels", "16 bit", "NIfTI", "JPEG"])
def test_every_kind_of_mask_becomes_0_and_1(tmp_path: Path, truth: np.ndarray, kind: str) -> None:
    eight_bit = truth.astype(np.uint8) * 255
    path = tmp_path / "m.png"
    if kind == "NIfTI":
        path = tmp_path / "m.nii.gz"
        nib.save(nib.Nifti1Image(truth.T * np.float32(4), np.diag([-1.0, -1, 1, 1])), path)
    elif kind == "JPEG":
        path = tmp_path / "m.jpg"
        Image.fromarray(eight_bit).save(path, quality=60)
        assert np.unique(np.asarray(Image.open(path))).size > 2  # the edge is blurred indeed
    else:
        picture = {
            "1 bit": Image.fromarray(truth),
            "0/255": Image.fromarray(eight_bit),
            "0/1": Image.fromarray(truth.astype(np.uint8)),
            "RGB": Image.fromarray(np.stack([eight_bit * 0, eight_bit * 0, eight_bit], axis=-1)),
            "RGBA": Image.fromarray(eight_bit).convert("RGBA"),
            "labels": Image.fromarray(truth * gradient().clip(1, 4)),
            "16 bit": Image.fromarray(truth * np.uint16(60000)),
        }[kind]
        picture.save(path)
    mask = ToBinaryMask()(LoadImageSlice()(path))
    assert mask.shape == (1, 40, 30)
    assert mask.dtype == torch.float32
    np.testing.assert_array_equal(mask[0].numpy(), truth.astype(np.float32))


def test_an_empty_mask_stays_empty_in_every_form() -> None:
    for empty in (np.zeros((8, 8), bool), np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8))):
        assert ToBinaryMask()(empty).sum() == 0


def test_an_unknown_mask_stays_unknown_after_a_rotation_padded_it() -> None:
    rotated = Rotate(angle=0.2, mode="nearest", padding_mode="zeros")(torch.full((1, 40, 30), -1.0))
    assert (rotated == 0).any()
    assert (ToBinaryMask()(rotated) == -1).all()


def test_a_mask_with_nan_is_an_error() -> None:
    with pytest.raises(InputError, match="NaN"):
        ToBinaryMask()(np.full((8, 8), np.nan))


def test_an_absent_mask_is_passed_over_only_if_allowed() -> None:
    assert ToBinaryMaskd("label", allow_missing_keys=True)({"image": 1}) == {"image": 1}
    with pytest.raises(KeyError):
        ToBinaryMaskd("label")({"image": 1})


def test_a_mask_of_another_size_is_told_with_both_names_and_sizes(tmp_path: Path) -> None:
    Image.fromarray(gradient(40, 30)).save(tmp_path / "image.png")
    Image.fromarray(gradient(30, 40)).save(tmp_path / "mask.png")
    item = {"image": LoadImageSlice()(tmp_path / "image.png"), "label": LoadImageSlice()(tmp_path / "mask.png")}
    with pytest.raises(InputError, match=r"mask\.png: is 40 x 30 pixels.*image\.png is 30 x 40"):
        CheckSameSized()(item)


def test_items_that_fit_or_lack_a_mask_pass() -> None:
    image, mask = LoadImageSlice()(np.zeros((9, 8, 3), np.uint8)), LoadImageSlice()(np.zeros((9, 8)))
    assert set(CheckSameSized()({"image": image, "label": mask})) == {"image", "label"}
    assert set(CheckSameSized()({"image": image})) == {"image"}


@pytest.mark.real_data
def test_real_masks_lie_on_their_image(brain_tumor_mri: Path) -> None:
    for folder in sorted((brain_tumor_mri / "masks").iterdir()):
        path = min(folder.iterdir())
        image = brain_tumor_mri / "Training" / folder.name / f"{path.stem}.jpg"
        item = {"image": LoadImageSlice()(image), "label": ToBinaryMask()(LoadImageSlice()(path))}
        share = CheckSameSized()(item)["label"].mean().item()
        assert 0 < share < 0.3


@pytest.mark.parametrize("colours", [[0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0], [68, 1, 84, 33, 145, 140]])
def test_of_a_palette_the_indices_count_whatever_their_colours(tmp_path: Path, truth: np.ndarray, colours) -> None:
    image = Image.fromarray(truth.astype(np.uint8), mode="P")
    image.putpalette(colours)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    item = LoadImageSliced(["image", "label"])({"image": str(tmp_path / "m.png"), "label": str(tmp_path / "m.png")})
    np.testing.assert_array_equal(ToBinaryMaskd()(item)["label"][0].numpy(), truth)
    assert item["image"].shape[0] == 3  # an image shows its colours


def test_a_mask_of_another_shape_than_its_image_is_refused_and_nothing_is_marked_in_an_unknown_one(
    tmp_path: Path, truth: np.ndarray
) -> None:
    Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "m.png")
    height, width = truth.shape
    assert read_mask(tmp_path / "m.png", shape=(height, width)).dtype == bool
    with pytest.raises(InputError, match=rf"m\.png: is {width}x{height}, but its image is {width + 1}x{height}"):
        read_mask(tmp_path / "m.png", shape=(height, width + 1))
    nib.save(nib.Nifti1Image(np.full((4, 5, 1), -1, np.float32), np.eye(4)), tmp_path / "unknown.nii")
    assert not read_mask(tmp_path / "unknown.nii").any()
