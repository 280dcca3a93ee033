from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import LoadImageSlice, LoadImageSliced
from tests.transforms.files import gradient


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 7), (1, 9, 7)),
        ((1, 9, 7), (1, 9, 7)),
        ((9, 7, 3), (3, 9, 7)),
        ((4, 9, 7), (4, 9, 7)),
        ((9, 7, 1), (1, 9, 7)),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_an_array_in_memory_becomes_channels_first(shape: tuple, expected: tuple, kind: type) -> None:
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    loaded = LoadImageSlice()(kind(values))
    assert isinstance(loaded, MetaTensor)
    assert tuple(loaded.shape) == expected
    channels_first = values if len(shape) == 2 or shape == expected else np.moveaxis(values, -1, 0)
    np.testing.assert_array_equal(loaded.numpy().reshape(expected), channels_first.reshape(expected))
    assert loaded.meta["container"] == "array"
    assert loaded.meta["bits"] == 8
    assert np.isnan(loaded.meta["spacing"]).all()


@pytest.mark.parametrize("shape", [(5, 9, 7), (2, 3, 9, 7), (9,)])
def test_an_array_of_another_shape_is_refused(shape: tuple) -> None:
    with pytest.raises(ValueError, match="is no slice"):
        LoadImageSlice()(np.zeros(shape))


def test_loading_from_memory_leaves_the_caller_s_array_alone() -> None:
    values = gradient(dtype=np.float32)
    LoadImageSlice()(values).zero_()
    assert values.max() > 0


def test_image_and_mask_of_a_volume_come_from_the_slice_that_the_item_names(tmp_path: Path) -> None:
    volume = np.arange(8 * 9 * 5, dtype=np.int16).reshape(8, 9, 5)
    for name, data in (("image", volume), ("label", (volume % 5 == 3).astype(np.uint8))):
        nib.save(nib.Nifti1Image(data, np.diag([-1.0, -1, 4, 1])), tmp_path / f"{name}.nii")
    item = {"image": tmp_path / "image.nii", "label": str(tmp_path / "label.nii"), "slice": 3}
    loaded = LoadImageSliced(("image", "label"))(item)
    np.testing.assert_array_equal(loaded["image"][0].numpy(), volume[..., 3].T)
    assert loaded["label"].min() == 1  # the value's remainder by 5 is the slice's index


def test_an_absent_mask_is_passed_over_only_if_allowed() -> None:
    item = {"image": gradient()}
    assert set(LoadImageSliced(("image", "label"), allow_missing_keys=True)(item)) == {"image"}
    with pytest.raises(KeyError):
        LoadImageSliced(("image", "label"))(item)


def test_an_unreadable_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        LoadImageSliced("image")({"image": tmp_path / "absent.png"})
