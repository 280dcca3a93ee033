from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import LoadImageSlice, ToUnitGrey, ToUnitGreyd, read_grey
from tests.transforms.files import gradient, write_dicom


def random_colours(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (24, 20, channels), dtype=np.uint8)


def test_colour_becomes_pillow_s_luma_to_the_bit(tmp_path: Path) -> None:
    pixels = random_colours(3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32) / 255
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), expected)
    np.testing.assert_array_equal(ToUnitGrey()(pixels)[0].numpy(), expected)


@pytest.mark.parametrize(("channels", "colours"), [(2, 1), (4, 3)])
def test_alpha_is_dropped(tmp_path: Path, channels: int, colours: int) -> None:
    pixels = random_colours(channels)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    opaque = pixels[..., 0] if colours == 1 else pixels[..., :3]
    expected = np.asarray(Image.fromarray(opaque).convert("L"), dtype=np.float32) / 255
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), expected)


def test_a_palette_shows_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(random_colours(3)).convert("P")
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("RGB").convert("L"), dtype=np.float32) / 255
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), expected)


def test_one_bit_becomes_0_and_1(tmp_path: Path) -> None:
    bits = gradient() > 100
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), bits.astype(np.float32))
    np.testing.assert_array_equal(ToUnitGrey()(bits)[0].numpy(), bits.astype(np.float32))


@pytest.mark.parametrize("kind", ["png16", "tiff32", "dicom", "memory"])
def test_other_depths_are_scaled_by_robust_percentiles(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(1).normal(3000, 500, (60, 50)).round()
    pixels[:2, :2] = 30000  # a few hot pixels must not set the scale
    if kind == "dicom":
        grey = read_grey(write_dicom(tmp_path / "a.dcm", pixels.astype(np.int16)))
    elif kind == "memory":
        grey = ToUnitGrey()(pixels)[0].numpy()
    else:
        path = tmp_path / ("a.png" if kind == "png16" else "a.tif")
        Image.fromarray(pixels.astype(np.uint16 if kind == "png16" else np.float32)).save(path)
        grey = read_grey(path)
    low, high = np.percentile(pixels, (0.5, 99.5))
    np.testing.assert_allclose(grey, np.clip((pixels - low) / (high - low), 0, 1), atol=1e-5)
    assert grey.dtype == np.float32


def test_a_float_array_in_the_unit_range_stays_as_it_is() -> None:
    pixels = np.random.default_rng(2).uniform(0.2, 0.6, (9, 8)).astype(np.float32)
    np.testing.assert_array_equal(ToUnitGrey()(pixels)[0].numpy(), pixels)


def test_a_small_bright_object_on_an_even_ground_survives() -> None:
    pixels = np.full((100, 100), 500, np.int16)
    pixels[3, 4:7] = 900
    grey = ToUnitGrey()(pixels)[0].numpy()
    assert grey[3, 4:7].tolist() == [1, 1, 1]
    assert grey.sum() == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error_with_their_share(tmp_path: Path, value: float) -> None:
    pixels = gradient(dtype=np.float32)
    pixels[:4] = value
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: 10\.00% of its pixels are NaN or infinite"):
        read_grey(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_constant_image_is_an_error_unless_allowed(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((20, 20), 51, dtype)).save(path)
    with pytest.raises(InputError, match=r"a\.png: constant image \(every pixel is 51\)"):
        read_grey(path)
    assert np.unique(read_grey(path, allow_constant=True)).tolist() == [np.float32(0.2) if dtype == np.uint8 else 0]


def test_the_metadata_stay_and_the_input_too(tmp_path: Path) -> None:
    loaded = LoadImageSlice()(write_dicom(tmp_path / "a.dcm", gradient(dtype=np.int16)))
    before = loaded.clone()
    grey = ToUnitGreyd("image")({"image": loaded})["image"]
    assert set(grey.meta) == set(loaded.meta)
    assert torch.equal(loaded.as_tensor(), before.as_tensor())
    assert grey.meta["filename_or_obj"].endswith("a.dcm")
    assert grey.shape == (1, 40, 30)
    assert 0 <= grey.min() < grey.max() <= 1


@pytest.mark.real_data
def test_real_slices_of_every_container_fill_the_unit_range(
    brain_tumor_mri: Path, dicom_head: Path, nifti_glioblastoma: Path
) -> None:
    paths = [min(folder.iterdir()) for folder in sorted((brain_tumor_mri / "Training").iterdir())]
    for path, index in [
        *((p, None) for p in paths),
        (min(dicom_head.iterdir()), 0),
        (min(nifti_glioblastoma.iterdir()), 12),
    ]:
        grey = read_grey(path, index)
        assert grey.ndim == 2
        assert grey.min() >= 0
        assert 0.5 < grey.max() <= 1


@pytest.mark.parametrize("far", [-32768, 32767])
def test_a_constant_far_background_is_black_and_does_not_spoil_the_range(far: int) -> None:
    plain = gradient(60, 60, np.int16)
    plain[:, :20] = 0  # darkest of the rest
    padded = plain.copy()
    padded[:, :15] = far
    np.testing.assert_array_equal(ToUnitGrey()(padded).numpy(), ToUnitGrey()(plain).numpy())


def test_the_black_around_a_head_is_no_far_background() -> None:
    head = np.zeros((60, 60), dtype=np.int16)
    head[10:50, 10:50] = 300 + 6 * gradient(40, 40, np.int16)
    expected = head / np.percentile(head, 99.5)
    np.testing.assert_allclose(ToUnitGrey()(head)[0].numpy(), expected.clip(0, 1), atol=1e-5)
