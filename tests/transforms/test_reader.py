import contextlib
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import list_data_collate
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged, Resized
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import (
    LoadImageSliced,
    SliceReader,
    ToUnitGreyd,
    count_slices,
    read_slice,
)
from braintumor_ext.transforms import reader as reader_module
from tests.transforms.files import gradient, write_dicom

KEYS = {
    "filename_or_obj",
    "affine",
    "original_affine",
    "space",
    "original_channel_dim",
    "spatial_shape",
    "spacing",
    "slice_size",
    "slice_index",
    "slice_count",
    "native_shape",
    "native_ndim",
    "native_affine",
    "native_ornt",
    "native_frame",
    "native_qform",
    "native_sform",
    "native_codes",
    "native_zooms",
    "container",
    "bits",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One slice in each container, each of another size."""
    Image.fromarray(gradient(50, 36)).save(tmp_path / "a.png")
    nib.save(nib.Nifti1Image(gradient(44, 28, np.int16).T, np.diag([-1.0, -1, 3, 1])), tmp_path / "a.nii.gz")
    return {
        "picture": tmp_path / "a.png",
        "nifti": tmp_path / "a.nii.gz",
        "dicom": write_dicom(tmp_path / "a.dcm", gradient(40, 30, np.int16)),
    }


def test_every_container_gives_the_same_metadata_keys_and_shapes(files: dict[str, Path]) -> None:
    shapes = set()
    for container, path in files.items():
        meta = read_slice(path).meta
        assert set(meta) == KEYS
        assert meta["container"] == container
        assert meta["filename_or_obj"] == str(path)
        shapes.add(tuple((key, type(meta[key]), np.shape(meta[key])) for key in sorted(KEYS)))
    assert len(shapes) == 1


def test_slices_of_all_containers_make_one_batch(files: dict[str, Path]) -> None:
    chain = Compose([LoadImageSliced("image"), ToUnitGreyd("image"), Resized("image", (32, 32))])
    items = [chain({"image": path}) for path in files.values()]
    items.append(chain({"image": gradient()}))
    batch = list_data_collate(items)["image"]
    assert batch.shape == (4, 1, 32, 32)
    assert batch.meta["container"] == ["picture", "nifti", "dicom", "array"]
    assert batch.meta["slice_size"].tolist() == [[50, 36], [44, 28], [40, 30], [40, 30]]


@pytest.mark.parametrize("container", ["picture", "nifti", "dicom"])
def test_resizing_is_inverted_to_the_slice_s_own_size(files: dict[str, Path], container: str) -> None:
    chain = Compose([LoadImageSliced("image"), ToUnitGreyd("image"), Resized("image", (32, 32))])
    item = chain({"image": files[container]})
    item["pred"] = item["image"].clone()
    size = tuple(int(n) for n in item["image"].meta["slice_size"])
    inverted = Invertd(keys="pred", transform=chain, orig_keys="image", nearest_interp=False)(item)
    assert inverted["pred"].shape == (1, *size)
    original = Compose(chain.transforms[:2])({"image": files[container]})["image"]
    assert (inverted["pred"] - original)[:, 4:-4, 4:-4].abs().max() < 0.1
    np.testing.assert_allclose(np.asarray(inverted["pred"].affine), np.asarray(original.affine), atol=1e-6)


@pytest.mark.parametrize("container", ["picture", "nifti", "dicom"])
def test_it_serves_as_the_reader_of_monai_s_own_loader(files: dict[str, Path], container: str) -> None:
    chain = Compose([LoadImaged("image", reader=SliceReader), EnsureChannelFirstd("image")])
    loaded = chain({"image": str(files[container])})["image"]
    assert torch.equal(loaded.as_tensor(), read_slice(files[container]).as_tensor())


def test_reading_all_slices_of_a_volume_decodes_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(16 * 16 * 6, dtype=np.int16).reshape(16, 16, 6), np.eye(4)), path)
    first = read_slice(path, 0)
    status = path.stat()
    # Emptied behind the reader's back, with its size and time kept: what comes now can only come from memory.
    path.write_bytes(path.read_bytes()[:352] + b"\0" * (status.st_size - 352))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_slice(path, 5).max() == 16 * 16 * 6 - 1
    assert torch.equal(read_slice(path, 0).as_tensor(), first.as_tensor())


def test_volumes_that_do_not_fit_together_are_kept_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.nii", "b.nii"):
        nib.save(
            nib.Nifti1Image(np.random.default_rng(0).random((8, 9, 4), dtype=np.float32), np.eye(4)), tmp_path / name
        )
    decoded: list[Path] = []
    decode = reader_module.nifti_pixels
    monkeypatch.setattr(reader_module, "nifti_pixels", lambda path: decoded.append(path) or decode(path))

    def readings(most_bytes: int) -> list[str]:
        monkeypatch.setattr(reader_module, "_recent", reader_module._RecentFiles(most_bytes))
        decoded.clear()
        for index in range(4):
            read_slice(tmp_path / "a.nii", index)
        for index in range(2):  # an image and its mask, in turns
            read_slice(tmp_path / "b.nii", index)
            read_slice(tmp_path / "a.nii", index)
        return [path.name for path in decoded]

    size = 8 * 9 * 4 * 4
    assert readings(2 * size) == ["a.nii", "b.nii"]
    assert readings(size) == readings(0) == ["a.nii", "b.nii", "a.nii", "b.nii", "a.nii"]


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(gradient()).save(path)
    read_slice(path)
    Image.fromarray(gradient() + 1).save(path)
    os.utime(path, ns=(0, 0))
    np.testing.assert_array_equal(read_slice(path)[0].numpy(), gradient() + 1)


def test_a_slice_can_be_changed_without_changing_the_next_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(gradient()).save(path)
    read_slice(path).zero_()
    assert read_slice(path).max() > 0


def test_a_single_slice_is_slice_0_of_its_file(files: dict[str, Path]) -> None:
    for path in files.values():
        assert torch.equal(read_slice(path, 0).as_tensor(), read_slice(path).as_tensor())
        with pytest.raises(InputError, match="has no slice 1"):
            read_slice(path, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("container", ["picture", "nifti", "dicom"])
def test_a_file_with_damaged_bytes_is_read_or_refused_but_raises_nothing_else(
    files: dict[str, Path], container: str
) -> None:
    whole, rng = files[container].read_bytes(), np.random.default_rng(7)
    for trial in range(60):
        damaged = bytearray(whole)
        for _ in range(4):
            damaged[rng.integers(min(len(whole), 700))] = rng.integers(256)
        files[container].write_bytes(damaged[: rng.integers(1, len(whole))] if trial % 4 == 0 else damaged)
        with contextlib.suppress(InputError):
            count_slices(files[container])
            read_slice(files[container])
