from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, Resized
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.inference import TolerantDataset, collate_slices, tolerant_dataset
from braintumor_ext.inference.row_errors import describe
from braintumor_ext.transforms import LoadImageSliced, ToUnitGreyd, read_grey


@pytest.fixture
def items(tmp_path: Path) -> list[dict]:
    """Two good slices of other sizes and two bad ones between them."""
    pictures = [
        np.tile(np.arange(40, dtype=np.uint8), (30, 1)),
        np.tile(np.arange(20, dtype=np.uint8)[:, None], (1, 50)),
    ]
    for name, picture in zip(("a.png", "d.png"), pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"")
    Image.fromarray(np.full((9, 9), 7, dtype=np.uint8)).save(tmp_path / "c.png")
    return [{"image": str(tmp_path / f"{name}.png"), "name": f"{name}.png", "stem": name} for name in "abcd"]


@pytest.fixture
def dataset(items) -> TolerantDataset:
    chain = [LoadImageSliced("image"), ToUnitGreyd("image"), Resized("image", spatial_size=(16, 16))]
    return TolerantDataset(items, Compose(chain))


@pytest.mark.parametrize("workers", [0, 2])
def test_good_and_bad_files_form_one_batch(dataset, workers):
    (batch,) = DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=collate_slices)
    assert batch["image"].shape == (4, 1, 16, 16)
    assert batch["index"].tolist() == [0, 1, 2, 3]
    assert [bool(error) for error in batch["error"]] == [False, True, True, False]
    assert torch.isfinite(batch["image"]).all()
    assert batch["meta"][3]["slice_size"].tolist() == [20, 50]


def test_an_error_says_problem_and_remedy_and_leaves_the_name_to_the_row(dataset):
    assert dataset[1]["error"] == "is empty (0 bytes). Copy it again from its source, or remove it."
    assert dataset[2]["error"].startswith("constant image (every pixel is 7)")
    assert dataset[0]["error"] == ""


def test_a_bad_file_does_not_change_what_a_good_one_gives(dataset, items):
    alone = TolerantDataset([items[3]], dataset.preprocessing)
    assert len(dataset) == 4
    assert torch.equal(torch.as_tensor(dataset[3]["image"]), torch.as_tensor(alone[0]["image"]))


def test_blank_images_are_not_shared(dataset):
    first = dataset[1]["image"]
    first += 5
    assert dataset[2]["image"].max() <= 1


def test_a_file_that_appears_later_is_read(dataset, tmp_path):
    assert dataset[1]["error"]
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8), (30, 1))).save(tmp_path / "b.png")
    assert dataset[1]["error"] == ""


def test_the_innermost_input_error_is_told():
    wrapped = RuntimeError("applying transform")
    wrapped.__cause__ = KeyError("outer")
    wrapped.__cause__.__cause__ = InputError("x.png", "is odd", "Mend it")
    assert describe(wrapped, "x.png") == "is odd. Mend it."


def test_any_other_error_is_told_in_one_line():
    told = describe(ZeroDivisionError("first line\nsecond line"), "x.png")
    assert told == "could not be read (ZeroDivisionError: first line). Open it in a viewer, or leave it out."
    assert "MemoryError" in describe(MemoryError(), "x.png")


@pytest.mark.parametrize("workers", [0, 2])
def test_the_grey_slices_are_kept_beside_the_images(dataset, items, workers):
    kept = TolerantDataset(items, dataset.preprocessing, keep_grey=True)
    (batch,) = DataLoader(kept, batch_size=4, num_workers=workers, collate_fn=collate_slices)
    assert [grey is None for grey in batch["grey"]] == [False, True, True, False]
    for item, grey in zip(items, batch["grey"], strict=True):
        assert grey is None or np.array_equal(grey.numpy(), read_grey(item["image"]))
    (plain,) = DataLoader(dataset, batch_size=4)
    assert torch.equal(batch["image"], plain["image"].as_tensor())


def test_a_step_that_writes_into_the_slice_does_not_change_what_is_kept(items):
    def darken(item: dict) -> dict:
        item["image"] *= 0
        return item

    chain = Compose([LoadImageSliced("image"), ToUnitGreyd("image"), darken])
    entry = TolerantDataset(items, chain, keep_grey=True)[0]
    assert entry["image"].max() == 0
    assert entry["grey"].max() > 0


def test_large_slices_are_kept_in_half_of_the_memory(dataset, items, monkeypatch):
    kept = TolerantDataset(items, dataset.preprocessing, keep_grey=True)
    monkeypatch.setattr(tolerant_dataset, "FLOAT32_PIXELS", 30 * 40 - 1)
    large, small = (kept[index]["grey"] for index in (0, 3))
    assert (large.dtype, small.dtype) == (torch.float16, torch.float32)
    assert np.abs(large.numpy().astype(float) - read_grey(items[0]["image"])).max() <= 2**-12  # 11 significant bits


def test_slices_of_another_preprocessing_are_kept_too(dataset, items):
    for chain in (lambda item: dataset.preprocessing(item), Compose([dataset.preprocessing])):
        entry = TolerantDataset(items, chain, keep_grey=True)[3]
        assert np.array_equal(entry["grey"].numpy(), read_grey(items[3]["image"]))
        assert torch.equal(entry["image"].as_tensor(), dataset[3]["image"].as_tensor())
