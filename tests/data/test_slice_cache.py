"""The cache of decoded slices: what it holds, and that it is never an old or a half-written one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandFlipd, Resized
from PIL import Image

from braintumor_ext.data import CachedSlices, slice_dataset
from braintumor_ext.data.slice_cache import UNKNOWN_BYTE, describe
from braintumor_ext.errors import InputError
from braintumor_ext.keys import CLASS, IMAGE, LABEL
from braintumor_ext.transforms import FillUnknownd, LoadImageSliced, ToBinaryMaskd, ToUnitGreyd


def decode(size: int = 24) -> Compose:
    """The deterministic transforms of the training's config."""
    return Compose(
        [
            LoadImageSliced((IMAGE, LABEL), allow_missing_keys=True),
            ToUnitGreyd(IMAGE),
            ToBinaryMaskd(LABEL, allow_missing_keys=True),
            FillUnknownd(),
            Resized((IMAGE, LABEL), (size, size), mode=("bilinear", "nearest-exact"), anti_aliasing=(True, False)),
        ]
    )


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 32)) -> str:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)).save(path)
    return str(path)


@pytest.fixture
def items(tmp_path: Path) -> list[dict]:
    """Three slices: with a mask and a class, with a mask alone, with neither."""
    folder = tmp_path / "slices"
    folder.mkdir()
    mask = np.zeros((40, 32), dtype=np.uint8)
    mask[8:20, 10:30] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return [
        {IMAGE: picture(folder / "a.png", 0), LABEL: str(folder / "mask.png"), CLASS: 2},
        {IMAGE: picture(folder / "b.png", 1), LABEL: str(folder / "mask.png")},
        {IMAGE: picture(folder / "c.png", 2)},
    ]


def make(items: list[dict], cache_dir: Path | None = None, size: int = 24) -> CachedSlices:
    return CachedSlices(items, decode(size), cache_dir, progress=False)


def cached_files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.npy")}


@pytest.mark.parametrize("on_disk", [False, True])
def test_it_holds_what_the_dictionary_transforms_give_to_the_nearest_of_256_greys(items, tmp_path, on_disk):
    data = make(items, tmp_path / "cache" if on_disk else None)
    assert len(data) == 3
    for item, given in zip(data, CacheDataset(items, decode(), progress=False), strict=True):
        assert item[IMAGE].dtype == item[LABEL].dtype == torch.uint8
        assert item[IMAGE].shape == item[LABEL].shape == (1, 24, 24)
        torch.testing.assert_close(item[IMAGE] / 255, given[IMAGE].as_tensor(), atol=0.5 / 255 + 1e-6, rtol=0)
        known = given[LABEL].as_tensor() >= 0
        assert torch.equal(item[LABEL][known].float(), given[LABEL].as_tensor()[known])
        assert (item[LABEL][~known] == UNKNOWN_BYTE).all()
    assert [int(item[CLASS]) for item in data] == [2, -1, -1]
    assert [bool((item[LABEL] == UNKNOWN_BYTE).all()) for item in data] == [False, False, True]


def test_a_later_run_reads_the_file_instead_of_the_slices(items, tmp_path):
    first = make(items, tmp_path)

    def broken(item: dict) -> dict:
        raise AssertionError("a slice was decoded again")

    again = make(items, tmp_path)
    assert torch.equal(first.pixels, again.pixels)
    assert len(cached_files(tmp_path)) == 1
    again.transform = broken
    assert torch.equal(again[0][IMAGE], first[0][IMAGE])


@pytest.mark.parametrize("changed", ["image", "mask"])
def test_a_changed_file_of_the_same_name_size_and_time_is_read_anew(items, tmp_path, changed):
    make(items, tmp_path)
    path = Path(items[0][IMAGE if changed == "image" else LABEL])
    before = path.stat()
    pixels = np.array(Image.open(path))
    Image.fromarray(255 - pixels).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    data = make(items, tmp_path)
    given = decode()(items[0])
    torch.testing.assert_close(data[0][IMAGE] / 255, given[IMAGE].as_tensor(), atol=0.003, rtol=0)
    assert torch.equal(data[0][LABEL].float(), given[LABEL].as_tensor())


def test_another_size_order_or_slice_is_another_cache(items, tmp_path):
    assert make(items, tmp_path)[0][IMAGE].shape == (1, 24, 24)
    assert make(items, tmp_path, size=32)[0][IMAGE].shape == (1, 32, 32)
    swapped = make(items[::-1], tmp_path)
    assert torch.equal(swapped[2][IMAGE], make(items)[0][IMAGE])
    assert len(cached_files(tmp_path)) == 3


def test_the_class_is_the_datalist_s_not_the_cache_s(items, tmp_path):
    make(items, tmp_path)
    assert int(make([{**items[0], CLASS: 1}, *items[1:]], tmp_path)[0][CLASS]) == 1
    assert len(cached_files(tmp_path)) == 1


def test_an_interrupted_run_leaves_no_cache_that_another_could_take(items, tmp_path):
    def fails_at_the_last(item: dict) -> dict:
        if item[IMAGE].endswith("c.png"):
            raise InputError(item[IMAGE], "broken", "Repair it")
        return decode()(item)

    with pytest.raises(InputError, match="broken"):
        CachedSlices(items, fails_at_the_last, tmp_path, progress=False)
    assert not cached_files(tmp_path)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.slow
def test_several_processes_make_one_file(items, tmp_path):
    code = (
        "import sys, json\n"
        "from tests.data.test_slice_cache import make\n"
        "from pathlib import Path\n"
        "print(int(make(json.loads(sys.argv[1]), Path(sys.argv[2])).pixels.long().sum()))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, json.dumps(items), str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = {run.communicate(timeout=200)[0] for run in runs}
    assert sums == {f"{int(make(items).pixels.long().sum())}\n"}
    assert len(cached_files(tmp_path)) == 1


def test_what_is_written_into_an_item_never_reaches_the_file(items, tmp_path):
    data = make(items, tmp_path)
    before = data[0][IMAGE].clone()
    data[0][IMAGE].zero_()
    assert torch.equal(make(items, tmp_path)[0][IMAGE], before)


def test_workers_give_the_same_batches(items, tmp_path):
    for cache_dir in (None, tmp_path):
        batches = [next(iter(DataLoader(make(items, cache_dir), batch_size=3, num_workers=n))) for n in (0, 2)]
        assert torch.equal(batches[0][IMAGE], batches[1][IMAGE])
        assert torch.equal(batches[0][LABEL], batches[1][LABEL])


def test_random_generators_do_not_count_as_settings():
    one, other = (RandFlipd(IMAGE, prob=0.5).set_random_state(seed=s) for s in (1, 2))
    assert describe(one) == describe(other)
    assert describe(one) != describe(RandFlipd(IMAGE, prob=0.4))
    assert describe(decode(24)) == describe(decode(24))
    assert describe(decode(24)) != describe(decode(25))
    assert describe(Compose([torch.relu])) != describe(Compose([torch.sigmoid]))


def test_slices_of_several_sizes_are_refused(items):
    picture(Path(items[1][IMAGE]), 3, (20, 20))
    plain = Compose([LoadImageSliced((IMAGE,)), ToUnitGreyd(IMAGE), FillUnknownd()])
    with pytest.raises(InputError, match=r"b\.png.*several sizes, 32 x 40 and 20 x 20"):
        CachedSlices([{IMAGE: item[IMAGE]} for item in items], plain, progress=False)


def test_a_transform_that_was_used_finds_the_same_file(items, tmp_path):
    transform = decode()
    for _ in range(3):  # a training's and its validation's dataset share their transform, and so may further runs
        CachedSlices(items, transform, tmp_path, progress=False)
    assert len(cached_files(tmp_path)) == 1


def test_a_missing_file_is_named(items, tmp_path):
    Path(items[1][IMAGE]).unlink()
    for cache_dir in (None, tmp_path):
        with pytest.raises(InputError, match=r"b\.png"):
            make(items, cache_dir)


def test_no_such_pipeline():
    with pytest.raises(InputError, match=r"quick.*reference or fast"):
        slice_dataset([], decode(), decode(), pipeline="quick")


def test_an_empty_dataset_is_one():
    assert len(CachedSlices([], decode(), progress=False)) == 0
