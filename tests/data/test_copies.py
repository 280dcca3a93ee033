from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from braintumor_ext.data.copies import find_copies
from braintumor_ext.data.phantom_head import draw_head
from braintumor_ext.data.phantoms import phantom_slice
from braintumor_ext.data.thumbnails import framed_picture, picture_frame
from braintumor_ext.transforms import read_grey


def mirrored(grey, rng):
    return grey[:, ::-1]


def resized_and_encoded(grey, rng):
    size = np.rint(np.array(grey.shape[::-1]) * rng.uniform(0.5, 0.9)).astype(int)
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(grey * 255)).resize(tuple(size)).save(buffer, "JPEG", quality=int(rng.integers(40, 90)))
    return np.asarray(Image.open(buffer)) / 255


def letter_boxed(grey, rng):
    return np.pad(grey, rng.integers(0, min(grey.shape) // 4, (2, 2)), constant_values=rng.choice([0, 0.5, 1]))


def cropped(grey, rng):
    top, bottom, left, right = rng.uniform(0, 0.12, 4)
    height, width = grey.shape
    return grey[
        round(top * height) : height - round(bottom * height), round(left * width) : width - round(right * width)
    ]


def toned(grey, rng):
    return np.clip(grey ** rng.uniform(0.7, 1.4) * rng.uniform(0.7, 1.1) + rng.uniform(0, 0.1), 0, 1)


def rotated(grey, rng):
    return np.clip(ndimage.rotate(grey, rng.uniform(-6, 6), reshape=False, order=1), 0, 1)


def all_at_once(grey, rng):
    for change in (cropped, rotated, toned, mirrored, resized_and_encoded, letter_boxed):
        grey = change(grey, rng)
    return grey


CHANGES = {
    mirrored: 1.0,
    resized_and_encoded: 1.0,
    letter_boxed: 0.95,
    cropped: 0.9,
    toned: 0.95,
    rotated: 0.95,
    all_at_once: 0.8,
}
"""Change of a slice, and the least share of its copies that must be found."""


def framed(greys):
    return np.stack([framed_picture(grey) for grey in greys])


def recall(greys, change):
    """The share of changed slices that are found with their own original; none may be found with another's."""
    rng = np.random.default_rng(0)
    found = find_copies(framed(greys), framed([change(grey, rng) for grey in greys]), progress=False)
    if change in (mirrored, all_at_once):
        assert all(copy.mirrored for copy in found)
    elif change is not rotated:
        assert not any(copy.mirrored for copy in found)
    assert all(copy.first == copy.second for copy in found)
    return len(found) / len(greys)


@pytest.fixture(scope="module")
def phantoms():
    """One slice each of 20 heads, of changing planes."""
    heads = [draw_head(np.random.default_rng([5, n]), ("glioma", "no_tumor")[n % 2]) for n in range(20)]
    planes = ("axial", "coronal", "sagittal")
    return [phantom_slice(h, planes[n % 3], np.random.default_rng(n), 128)[0] / 255 for n, h in enumerate(heads)]


@pytest.mark.parametrize(("change", "least"), CHANGES.items(), ids=[change.__name__ for change in CHANGES])
def test_changed_phantoms_are_found_with_their_originals_alone(phantoms, change, least):
    assert recall(phantoms, change) >= least


def test_different_heads_are_no_copies_of_one_another(phantoms):
    assert find_copies(framed(phantoms), progress=False) == []


def test_pairs_within_a_set_are_told_once_and_a_symmetrical_slice_is_no_copy_of_itself(phantoms):
    symmetrical = phantoms[0] / 2 + phantoms[0][:, ::-1] / 2
    pictures = framed([phantoms[1], symmetrical, phantoms[2], phantoms[1][:, ::-1]])
    (copy,) = find_copies(pictures, progress=False)
    assert (copy.first, copy.second, copy.mirrored) == (0, 3, True)
    assert copy.likeness == pytest.approx(1, abs=0.02)


def test_sets_of_no_pictures_have_no_copies(phantoms):
    none = np.empty((0, 64, 64), dtype=np.uint8)
    assert find_copies(framed(phantoms[:2]), none, progress=False) == find_copies(none, progress=False) == []


@pytest.mark.parametrize("bar", [0, 0.4, 1])
def test_the_frame_is_the_picture_within_bars_of_any_grey(bar):
    picture = np.random.default_rng(0).uniform(size=(50, 40))
    boxed = np.pad(picture, ((10, 7), (5, 20)), constant_values=bar)
    assert picture_frame(boxed) == (5, 10, 45, 60)


def test_a_picture_that_shows_next_to_nothing_is_framed_whole():
    dot = np.zeros((60, 60))
    dot[30, 30] = 1
    assert picture_frame(dot) == picture_frame(np.zeros((60, 60))) == (0, 0, 60, 60)


@pytest.fixture(scope="module")
def real_slices(brain_tumor_mri):
    """One slice each of every 8th group without tumour or with a pituitary one."""
    with (brain_tumor_mri / "groups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    one_each = {row["group"]: row["image"] for row in rows if row["image"].startswith(("no_tumor", "pituitary"))}
    names = sorted(one_each.values())[::8]
    return [read_grey(brain_tumor_mri / "Training" / name) for name in names]


@pytest.mark.real_data
@pytest.mark.parametrize(("change", "least"), CHANGES.items(), ids=[change.__name__ for change in CHANGES])
def test_changed_real_slices_are_found_with_their_originals_alone(real_slices, change, least):
    assert recall(real_slices, change) >= least
