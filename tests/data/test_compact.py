from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from braintumor_ext.data.compact import compact_size, write_bit_mask, write_compact_image
from braintumor_ext.transforms import read_grey
from tests.data.folders import grey_slice


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 512), (224, 224)), ((600, 300), (448, 224)), ((300, 602), (224, 449)), ((200, 900), (200, 900))],
)
def test_the_short_side_shrinks_and_nothing_is_enlarged(size, expected):
    assert compact_size(*size, 224) == expected


def test_a_copy_is_grey_jpeg_and_its_loss_is_what_reading_it_back_shows(tmp_path):
    grey = grey_slice(0, 300, 400) / np.float32(255)
    psnr = write_compact_image(grey, tmp_path / "a" / "x.jpg", 100)
    with Image.open(tmp_path / "a" / "x.jpg") as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "L", (133, 100))
    resized = np.asarray(Image.fromarray(grey_slice(0, 300, 400)).resize((133, 100), Image.Resampling.BILINEAR)) / 255
    error = np.mean((read_grey(tmp_path / "a" / "x.jpg") - resized) ** 2)
    assert psnr == pytest.approx(-10 * np.log10(error), abs=0.01)
    assert psnr > 38


def test_masks_are_one_bit_of_the_copys_size_and_cover_the_same_share(tmp_path):
    mask = np.zeros((300, 400), dtype=bool)
    mask[60:150, 100:220] = True
    write_bit_mask(mask, tmp_path / "m.png", 100)
    with Image.open(tmp_path / "m.png") as picture:
        assert (picture.mode, picture.size) == ("1", (133, 100))
        small = np.asarray(picture)
    assert small[20:50, 34:73].all()
    assert small.mean() == pytest.approx(mask.mean(), rel=0.05)


def test_without_a_size_a_mask_keeps_every_pixel(tmp_path):
    mask = np.random.default_rng(0).random((31, 45)) > 0.5
    write_bit_mask(mask, tmp_path / "m.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "m.png")), mask)


@pytest.mark.real_data
def test_2870_real_slices_at_224_fit_in_45_mebibytes_even_in_blocks_of_4096(brain_tumor_mri, tmp_path):
    paths = sorted((brain_tumor_mri / "Training").glob("*/*.jpg"))
    sample = paths[::60]
    for number, path in enumerate(sample):
        write_compact_image(read_grey(path), tmp_path / f"{number}.jpg", 224)
    image_bytes = sum(-(-file.stat().st_size // 4096) * 4096 for file in tmp_path.glob("*.jpg"))
    masks_bytes = len(paths) * 4096
    assert image_bytes / len(sample) * len(paths) + masks_bytes < 45 * 2**20
