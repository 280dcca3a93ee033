"""Very large slices are shrunk by whole factors as they are read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from braintumor_ext.transforms import LoadImageSliced, read_grey, read_mask, read_slice
from braintumor_ext.transforms.shrink import SHRUNK_ABOVE, nearest, shrunk, shrunk_size, whole_factors
from tests.transforms.files import write_dicom

HEIGHT, WIDTH = 4_100, 1_060
"""Rows are shrunk by 4, columns not: 4,346,000 pixels."""


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Smooth, and unlike in rows and columns."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return ((rows / HEIGHT * 180) + (columns / WIDTH * 60)).astype(np.uint8)


def means(pixels: np.ndarray) -> np.ndarray:
    """The mean of each four rows, 4,100 being a multiple."""
    return pixels.reshape(HEIGHT // 4, 4, WIDTH).mean(axis=1)


@pytest.mark.parametrize(
    ("size", "factors", "left"),
    [
        ((512, 512), (1, 1), (512, 512)),
        ((2_048, 2_048), (1, 1), (2_048, 2_048)),
        ((2_049, 2_048), (2, 2), (1_025, 1_024)),
        ((8_192, 8_192), (8, 8), (1_024, 1_024)),
        ((65_535, 274), (32, 1), (2_048, 274)),
        ((HEIGHT, WIDTH), (4, 1), (1_025, WIDTH)),
    ],
)
def test_sides_are_shrunk_by_powers_of_two_and_never_below_1024(size, factors, left) -> None:
    assert whole_factors(*size) == factors
    assert shrunk_size(*size) == left
    assert left[0] * left[1] <= SHRUNK_ABOVE


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_each_block_becomes_its_mean_at_the_edges_too(dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 100, (3, 10, 7)).astype(dtype)
    found = shrunk(values, (4, 2))
    assert found.shape == (3, 3, 4)
    for row in range(3):
        for column in range(4):
            block = values[:, row * 4 : row * 4 + 4, column * 2 : column * 2 + 2].astype(np.float64)
            np.testing.assert_allclose(found[:, row, column], block.mean(axis=(1, 2)), rtol=1e-6)


def test_labels_keep_their_values() -> None:
    values = np.random.default_rng(0).choice(np.array([0, 7], np.uint8), (1, 10, 7))
    found = shrunk(values, (4, 2), labels=True)
    assert found.dtype == np.uint8
    assert found[0, 1, 2] == values[0, 6, 5]
    assert set(np.unique(found)) <= {0, 7}


def test_nearest_takes_each_pixel_from_its_place() -> None:
    small = np.arange(12).reshape(3, 4)
    large = np.kron(small, np.ones((5, 2), int))
    np.testing.assert_array_equal(nearest(large, (3, 4)), small)
    np.testing.assert_array_equal(nearest(small, (15, 8)), large)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "jpg"])
def test_pictures_are_shrunk_whatever_their_format(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path, **({"quality": 98} if suffix == "jpg" else {}))
    found = read_slice(path, shrink=True)
    assert found.shape == (1, HEIGHT // 4, WIDTH)
    np.testing.assert_allclose(found.numpy()[0], means(pixels), atol=2 if suffix == "jpg" else 1e-4)
    assert found.meta["slice_size"].tolist() == [HEIGHT, WIDTH], "masks go back to the file's own grid"
    assert read_slice(path).shape == (1, HEIGHT, WIDTH), "whole where nothing is said"


@pytest.mark.parametrize("mode", ["1", "LA", "RGB", "RGBA", "P", "I;16", "I", "F", "CMYK"])
def test_every_mode_is_shrunk_to_the_means_of_what_is_read_whole(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    picture = Image.fromarray(pixels)
    picture = Image.fromarray(pixels.astype(np.uint16) * 200) if mode == "I;16" else picture.convert(mode)
    path = tmp_path / "a.tif"
    picture.save(path)
    whole, found = read_slice(path).numpy(), read_slice(path, shrink=True).numpy()
    expected = np.stack([means(channel) for channel in whole])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_a_deep_png_is_shrunk(tmp_path: Path, pixels: np.ndarray) -> None:
    """16 bits with alpha, as torchvision writes none: the bytes are put together here."""
    values = np.stack([pixels.astype(np.uint16) * 250, np.full(pixels.shape, 65_535, np.uint16)], axis=-1)
    rows = values.astype(">u2").reshape(HEIGHT, -1).view(np.uint8).reshape(HEIGHT, -1)
    data = zlib.compress(np.hstack([np.zeros((HEIGHT, 1), np.uint8), rows]).tobytes(), 1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 4, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    found = read_slice(path, shrink=True)
    np.testing.assert_allclose(found.numpy()[0], means(pixels.astype(np.float64) * 250), rtol=1e-5)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_turned_picture_is_shrunk_upright(tmp_path: Path, pixels: np.ndarray, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path, exif=exif, **({"quality": 98} if suffix == "jpg" else {}))
    shown = np.rot90(means(pixels), {3: 2, 6: -1, 8: 1}[orientation])
    found = read_slice(path, shrink=True)
    assert found.shape[1:] == shown.shape
    np.testing.assert_allclose(found.numpy()[0], shown, atol=2)


def test_nifti_and_dicom_slices_are_shrunk_as_pictures_are(tmp_path: Path, pixels: np.ndarray) -> None:
    dicom = write_dicom(tmp_path / "a.dcm", pixels.astype(np.int16))
    found = read_slice(dicom, shrink=True)
    np.testing.assert_allclose(found.numpy()[0], means(pixels), atol=1e-4)
    whole = read_slice(dicom)
    # The middle of the first block, 1.5 rows below the middle of the first pixel.
    place = np.array([1.5, 0, 0, 1])
    np.testing.assert_allclose(found.affine.numpy()[:, 3], whole.affine.numpy() @ place, atol=1e-4)
    np.testing.assert_allclose(found.affine.numpy()[:3, 0], whole.affine.numpy()[:3, 0] * 4, atol=1e-4)
    assert found.meta["spacing"].tolist() == whole.meta["spacing"].tolist(), "of the file's own pixels"
    nifti = tmp_path / "a.nii"
    nibabel.Nifti1Image(pixels.T[::-1, ::-1].copy(), np.diag([0.1, 0.1, 5, 1])).to_filename(nifti)
    np.testing.assert_allclose(read_slice(nifti, shrink=True).numpy()[0], means(pixels), atol=1e-4)


def test_an_image_and_its_mask_are_shrunk_alike_and_the_mask_alone_is_whole(tmp_path: Path, pixels: np.ndarray) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1_000:2_000, 200:500] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    Image.fromarray(mask).save(tmp_path / "m.png")
    item = LoadImageSliced(("image", "label"))({"image": tmp_path / "a.jpg", "label": tmp_path / "m.png"})
    assert item["image"].shape == item["label"].shape == (1, HEIGHT // 4, WIDTH)
    assert float((item["label"] > 0).sum()) == 250 * 300
    assert read_mask(tmp_path / "m.png").sum() == 1_000 * 300
    assert read_grey(tmp_path / "a.jpg").shape == (HEIGHT // 4, WIDTH)
