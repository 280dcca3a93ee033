"""The transforms among MONAI's own, in a project that knows nothing of this bundle."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.transforms import (
    Compose,
    CropForegroundd,
    Invertd,
    RandFlipd,
    RandRotate90d,
    Resized,
    ScaleIntensityRanged,
)

from braintumor_ext.transforms import LoadImageSliced, ToBinaryMaskd, ToUnitGreyd, restore_grid, write_mask

SLICES = (1, 3)


@pytest.fixture
def volume(tmp_path: Path) -> dict[str, str]:
    """A NIfTI volume and its mask, oblique to the patient's axes, with a dark rim around the head."""
    rng = np.random.default_rng(0)
    image = np.zeros((40, 52, 5), dtype=np.float32)
    image[5:35, 6:46] = rng.uniform(300, 4000, size=(30, 40, 5))
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[8:20, 10:17, 1] = 1
    mask[21:24, 30:45, 3] = 1
    affine = np.array([[0, -0.7, 0.1, 90], [-0.9, 0, 0, 80], [0, 0.1, 5, -40], [0, 0, 0, 1.0]])
    paths = {"image": str(tmp_path / "t1.nii.gz"), "label": str(tmp_path / "tumour.nii.gz")}
    nibabel.Nifti1Image(image, affine).to_filename(paths["image"])
    nibabel.Nifti1Image(mask, affine).to_filename(paths["label"])
    return paths


def pipeline() -> Compose:
    both = ("image", "label")
    return Compose(
        [
            LoadImageSliced(keys=both),
            ToUnitGreyd(keys="image"),
            ToBinaryMaskd(keys="label"),
            CropForegroundd(keys=both, source_key="image", allow_smaller=True),
            ScaleIntensityRanged(keys="image", a_min=0.0, a_max=1.0, b_min=-1.0, b_max=1.0),
            Resized(keys=both, spatial_size=(120, 60), mode=("bilinear", "nearest-exact")),
            RandFlipd(keys=both, prob=1.0, spatial_axis=0),
            RandRotate90d(keys=both, prob=1.0, max_k=1),
        ]
    )


def test_they_compose_cache_and_invert_back_to_the_files_own_grid(volume, tmp_path):
    chain = pipeline()
    items = [{**volume, "slice": index} for index in SLICES]
    dataset = CacheDataset(items, chain, cache_rate=1.0, progress=False)
    back = Invertd(keys="pred", transform=chain, orig_keys="label", nearest_interp=True)
    stored = np.asarray(nibabel.load(volume["label"]).dataobj)
    affine = nibabel.load(volume["label"]).affine
    for batch in DataLoader(dataset, batch_size=2):
        assert batch["image"].shape == (2, 1, 60, 120)  # turned by 90 degrees
        assert batch["image"].min() >= -1
        assert batch["image"].max() <= 1
        batch["pred"] = batch["label"].clone()  # a perfect network
        for index, item in zip(SLICES, decollate_batch(batch), strict=True):
            inverted = back(item)["pred"]
            assert inverted.shape[1:] == tuple(item["image"].meta["slice_size"])
            native, grid = restore_grid(inverted, item["image"].meta)
            expected = np.zeros_like(stored)
            expected[:, :, index] = stored[:, :, index]
            assert np.array_equal(native, expected)
            assert np.allclose(grid, affine)
            path = write_mask(inverted, item["image"].meta, tmp_path / "out" / f"slice{index}")
            assert np.array_equal(np.asarray(nibabel.load(path).dataobj), expected)


def test_a_cached_item_is_the_same_as_a_fresh_one(volume):
    item = {**volume, "slice": 1}
    fresh = pipeline().set_random_state(0)(dict(item))
    cached = CacheDataset([item], pipeline().set_random_state(0), progress=False)
    for key in ("image", "label"):
        assert torch.equal(cached[0][key].as_tensor(), fresh[key].as_tensor())


def test_another_bundles_config_names_them_and_the_network():
    parser = ConfigParser(
        {
            "network_def": {
                "_target_": "braintumor_ext.networks.BrainTumorNet",
                "in_channels": 1,
                "num_classes": 3,
                "attention": False,
            },
            "loss": {"_target_": "braintumor_ext.losses.JointLoss", "alpha": 0.5},
            "preprocessing": {
                "_target_": "Compose",
                "transforms": [
                    {"_target_": "braintumor_ext.transforms.LoadImageSliced", "keys": "image"},
                    {"_target_": "braintumor_ext.transforms.ToUnitGreyd", "keys": "image"},
                    {"_target_": "Resized", "keys": "image", "spatial_size": [64, 64]},
                ],
            },
        }
    )
    item = parser.get_parsed_content("preprocessing")({"image": np.random.default_rng(0).random((50, 40))})
    network = parser.get_parsed_content("network_def").train()
    output = network(item["image"].as_tensor()[None].repeat(2, 1, 1, 1))
    assert output["class"].shape == (2, 3)
    target = {"class": torch.tensor([0, 2]), "label": torch.zeros(2, 1, 64, 64)}
    loss = parser.get_parsed_content("loss")(output, target)
    assert torch.isfinite(loss)
