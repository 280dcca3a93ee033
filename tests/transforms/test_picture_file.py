import struct
import zlib
from pathlib import Path

import itk
import numpy as np
import pytest
from PIL import Image, ImageFile

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import count_slices, find_images, read_grey, read_slice
from tests.transforms.files import gradient


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_lossless_grey_pictures_keep_rows_columns_and_values(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(gradient()).save(path)
    np.testing.assert_array_equal(np.rint(read_grey(path) * 255), gradient())
    assert read_slice(path).meta["bits"] == 8


def test_a_16_bit_png_keeps_its_values(tmp_path: Path) -> None:
    pixels = gradient(dtype=np.uint16) * 250
    Image.fromarray(pixels).save(tmp_path / "a.png")
    read = read_slice(tmp_path / "a.png")
    np.testing.assert_array_equal(read[0].numpy(), pixels)
    assert read.meta["bits"] == 16


def test_a_float_tiff_keeps_its_values(tmp_path: Path) -> None:
    pixels = gradient(dtype=np.float32) / 7 - 3
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif")[0].numpy(), pixels)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("P", 3)])
def test_channels_come_first_for_every_mode(tmp_path: Path, mode: str, channels: int) -> None:
    Image.fromarray(gradient()).convert("RGB").convert(mode).save(tmp_path / "a.png")
    assert read_slice(tmp_path / "a.png").shape == (channels, 40, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_read_as_its_exif_orientation_shows_it(tmp_path: Path, orientation: int) -> None:
    shown = Image.fromarray(gradient())
    # What a camera stores for each orientation so that a viewer shows `shown` (EXIF 2.3, tag 0x0112).
    method = Image.Transpose
    stored = {
        1: None,
        2: method.FLIP_LEFT_RIGHT,
        3: method.ROTATE_180,
        4: method.FLIP_TOP_BOTTOM,
        5: method.TRANSPOSE,
        6: method.ROTATE_90,
        7: method.TRANSVERSE,
        8: method.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (shown if stored is None else shown.transpose(stored)).save(tmp_path / "a.png", exif=exif)
    read = read_slice(tmp_path / "a.png")
    np.testing.assert_array_equal(read[0].numpy(), gradient())
    assert tuple(read.meta["slice_size"]) == (40, 30)


def test_frames_are_slices(tmp_path: Path) -> None:
    frames = [Image.fromarray(gradient() + k) for k in range(4)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert count_slices(tmp_path / "a.tif") == 4
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif", 2)[0].numpy(), gradient() + 2)
    with pytest.raises(InputError, match=r"holds 4 slices.*--slices"):
        read_slice(tmp_path / "a.tif")


def test_a_gif_of_several_frames_is_read_frame_by_frame(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((20, 30), value, np.uint8)) for value in (10, 120, 250)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert count_slices(tmp_path / "a.gif") == 3
    assert [round(float(read_slice(tmp_path / "a.gif", k)[0, 5, 5])) for k in range(3)] == [10, 120, 250]


def test_frames_of_several_sizes_are_an_error(tmp_path: Path) -> None:
    frames = [Image.fromarray(gradient(20, 30)), Image.fromarray(gradient(10, 15))]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="several sizes"):
        read_slice(tmp_path / "a.tif", 0)


@pytest.mark.parametrize("others", [["1", "L"], ["L", "1"], ["L", "I;16"], ["RGB", "F"]])
def test_frames_whose_values_have_other_ranges_are_an_error(tmp_path: Path, others: list[str]) -> None:
    frames = [Image.fromarray(gradient()).convert(mode) for mode in others]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="frames of several kinds of pixel"):
        read_slice(tmp_path / "a.tif", 1)


def test_indices_and_colours_are_no_mask_of_several_frames(tmp_path: Path) -> None:
    """Of an animated GIF Pillow gives the first frame by index, the others in colour."""
    shades = np.zeros((20, 30), np.uint8)
    shades[5:9] = 1
    frames = [Image.fromarray(np.roll(shades, k, axis=0)).convert("P") for k in range(2)]
    for frame in frames:
        frame.putpalette([0, 0, 90, 250, 10, 10])
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_slice(tmp_path / "a.gif", 1).shape == (3, 20, 30)
    with pytest.raises(InputError, match="frames of several kinds of pixel"):
        read_slice(tmp_path / "a.gif", 1, labels=True)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "gif"])
@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient Pillow"])
def test_a_truncated_picture_is_an_error_not_a_half_grey_slice(
    tmp_path: Path, suffix: str, lenient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    with pytest.raises(InputError, match="truncated or damaged") as caught:
        read_slice(path)
    assert str(path) in str(caught.value)
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.real_data
def test_real_slices_match_pillow(brain_tumor_mri: Path) -> None:
    for folder in sorted((brain_tumor_mri / "Training").iterdir()):
        for path in sorted(folder.iterdir())[:3]:
            with Image.open(path) as image:
                expected = np.asarray(image.convert("L"), dtype=np.float32) / 255
            np.testing.assert_array_equal(read_grey(path), expected)


def write_png(path: Path, header: bytes, rows: bytes) -> Path:
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    )
    return path


@pytest.mark.parametrize("held", [20, 19, 1], ids=["all rows", "all but one", "one"])
def test_a_png_of_fewer_rows_than_it_claims_is_refused(tmp_path: Path, held: int) -> None:
    pixels = gradient(20, 30)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels[:held])
    path = write_png(tmp_path / "a.png", struct.pack(">IIBBBBB", 30, 20, 8, 0, 0, 0, 0), rows)
    if held == 20:
        np.testing.assert_array_equal(read_slice(path)[0].numpy(), pixels)
        return
    with pytest.raises(InputError, match=f"holds {31 * held} bytes of pixels where its header claims 620"):
        read_slice(path)


def test_a_png_whose_pixels_fail_their_checksum_is_refused(tmp_path: Path) -> None:
    # A row more than is claimed: Pillow has what it wants before it comes to the checksum.
    path = write_png(tmp_path / "a.png", struct.pack(">IIBBBBB", 30, 1, 8, 0, 0, 0, 0), bytes(62))
    content = bytearray(path.read_bytes())
    content[content.rindex(b"IEND") - 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"truncated or damaged .*incorrect data check"):
        read_slice(path)


def test_interlaced_pngs_and_those_of_less_than_a_byte_a_pixel_are_read(tmp_path: Path) -> None:
    """By hand: the seven passes of Adam7, empty ones left out, each row with its filter type."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    for width, height in ((13, 9), (3, 2), (1, 1)):
        pixels = gradient(height, width) if min(height, width) > 1 else np.full((height, width), 9, np.uint8)
        parts = [pixels[y::dy, x::dx] for x, y, dx, dy in passes]
        rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
        path = write_png(tmp_path / "a.png", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1), rows)
        np.testing.assert_array_equal(read_slice(path)[0].numpy(), pixels)
        write_png(path, struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1), rows[:-1])
        with pytest.raises(InputError, match=r"bytes of pixels|truncated"):
            read_slice(path)
    Image.fromarray(gradient(20, 13) > 99).save(tmp_path / "bits.png")
    assert read_slice(tmp_path / "bits.png").shape == (1, 20, 13)


def test_a_jpeg_of_fewer_rows_than_it_claims_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient(64, 64)).save(path)
    content = bytearray(path.read_bytes())
    height = content.index(b"\xff\xc0") + 5  # of the frame header, behind its marker, length and precision
    assert content[height : height + 2] == b"\0\x40"
    content[height : height + 2] = b"\0\x60"
    path.write_bytes(content)
    with pytest.raises(InputError, match="128"):
        read_slice(path)


@pytest.mark.parametrize("kind", [2, 4, 6], ids=["RGB", "grey and alpha", "RGBA"])
def test_a_16_bit_png_with_colours_or_alpha_keeps_its_values(tmp_path: Path, kind: int) -> None:
    """Written by hand, as Pillow can't: a chunk each for header, pixels and end."""
    grey = gradient(dtype=np.uint16) * 3 + 7  # below 256 the upper byte alone would be 0
    colours, alpha = {2: (3, 0), 4: (1, 1), 6: (3, 1)}[kind]
    opaque = np.full_like(grey, 65535)
    pixels = np.stack([grey] * colours + [opaque] * alpha, axis=-1)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 16, kind, 0, 0, 0)
    path = write_png(tmp_path / "a.png", header, rows)
    read = read_slice(path)
    np.testing.assert_array_equal(read.numpy(), np.moveaxis(pixels, -1, 0))
    assert read.meta["bits"] == 16
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_slice(path)


def test_signed_bytes_of_a_tiff_keep_their_sign(tmp_path: Path) -> None:
    values = np.arange(-100, 100, dtype=np.int8).reshape(20, 10)
    Image.fromarray(values.view(np.uint8)).save(tmp_path / "a.tif", tiffinfo={339: (2,)})
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif")[0].numpy(), values)


def test_a_deep_tiff_in_which_0_is_white_is_refused(tmp_path: Path) -> None:
    Image.fromarray(gradient(dtype=np.uint16)).save(tmp_path / "a.tif", tiffinfo={262: 0})
    with pytest.raises(InputError, match="0 is white"):
        read_slice(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".webp"])
def test_rarer_suffixes_of_known_formats_are_read(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(gradient()).save(tmp_path / f"a{suffix}", quality=95)
    assert find_images(tmp_path) == [tmp_path / f"a{suffix}"]
    assert np.abs(read_slice(tmp_path / f"a{suffix}").mean(0).numpy() - gradient()).mean() < 4


# TIFF 6.0: which sides the 0th row and the 0th column of what is stored are
UPRIGHT = {
    2: np.fliplr,  # top, right
    3: lambda stored: np.rot90(stored, 2),  # bottom, right
    4: np.flipud,  # bottom, left
    5: np.transpose,  # left, top
    6: lambda stored: np.rot90(stored, -1),  # right, top
    7: lambda stored: np.rot90(stored, 2).T,  # right, bottom
    8: np.rot90,  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_turned_tiff_is_read_upright_with_the_grid_of_what_is_shown(tmp_path: Path, orientation: int) -> None:
    Image.fromarray(gradient(40, 30)).save(tmp_path / "a.tif", tiffinfo={274: orientation})
    read = read_slice(tmp_path / "a.tif")
    np.testing.assert_array_equal(read[0].numpy(), UPRIGHT[orientation](gradient(40, 30)))
    np.testing.assert_array_equal(read.meta["slice_size"], read.shape[1:])


def tiff_of(values: np.ndarray, kind: int, big: bool = False) -> bytes:
    """A plain TIFF of one strip, written by hand: Pillow writes no such values."""
    height, width = values.shape
    place, word = (16, "Q") if big else (8, "I")
    pixels = values.tobytes()
    tags = {256: width, 257: height, 258: values.itemsize * 8, 259: 1, 262: 1, 273: place, 277: 1, 278: height}
    tags |= {279: len(pixels), 339: kind}
    entries = [struct.pack(f"<HH{word}{word}", tag, 16 if big else 4, 1, value) for tag, value in tags.items()]
    directory = struct.pack("<Q" if big else "<H", len(tags)) + b"".join(entries) + struct.pack(f"<{word}", 0)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, place + len(pixels)) if big else None
    return (head or struct.pack("<2sHI", b"II", 42, place + len(pixels))) + pixels + directory


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("dtype", "kind", "told"),
    [
        (np.float64, 3, "64-bit floating-point numbers"),
        (np.float16, 3, "16-bit floating-point numbers"),
        (np.int64, 2, "64-bit signed whole numbers"),
        (np.uint64, 1, "64-bit whole numbers"),
    ],
)
def test_a_tiff_of_numbers_that_are_not_read_says_what_to_save(tmp_path, dtype, kind, told, big):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of(gradient(dtype=dtype), kind, big))
    with pytest.raises(InputError, match=rf"a\.tif: is a TIFF of {told}, which is not read\. Save it as .*32-bit"):
        read_slice(path)


@pytest.mark.parametrize(("mode", "samples"), [("RGB", 3), ("RGBA", 4)])
def test_a_tiff_of_16_bit_colours_is_refused_with_a_remedy_that_works(tmp_path: Path, mode: str, samples: int) -> None:
    """Pillow keeps the upper 8 bits: of a 12-bit picture 16 greys near black."""
    values = np.stack([gradient(dtype=np.uint16) * 20] * samples, axis=-1)
    itk.imwrite(itk.image_from_array(values, is_vector=True), tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == mode
    with pytest.raises(InputError, match=r"a\.tif: is a TIFF of 16-bit colours, .*Save it as PNG"):
        count_slices(tmp_path / "a.tif")
    itk.imwrite(itk.image_from_array(values, is_vector=True), tmp_path / "a.png")
    np.testing.assert_array_equal(read_slice(tmp_path / "a.png").numpy(), np.moveaxis(values, -1, 0))


def test_32_bit_whole_numbers_of_a_tiff_are_not_negative(tmp_path: Path) -> None:
    values = gradient(dtype=np.uint32) * 23_000_000  # up to 4.3e9
    (tmp_path / "a.tif").write_bytes(tiff_of(values, 1))
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif").numpy()[0], values.astype(np.float32))


@pytest.mark.parametrize("deep", [False, True])
def test_a_flipped_bit_among_the_pixels_of_a_png_is_noticed(tmp_path: Path, deep: bool) -> None:
    """Each of 40: most still are a stream of pixels, of other values."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint16 if deep else np.uint8)
    itk.imwrite(itk.image_from_array(pixels, is_vector=True), tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    first, last = content.index(b"IDAT") + 4, content.index(b"IEND") - 8
    for number, place in enumerate(np.linspace(first, last - 1, 40).astype(int)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << number % 8
        (tmp_path / "b.png").write_bytes(damaged)
        with pytest.raises(InputError, match=r"b\.png"):
            read_slice(tmp_path / "b.png")


def test_a_tiff_whose_bits_are_no_number_is_damaged(tmp_path):
    content = tiff_of(gradient(), 1)
    place = content.rindex(struct.pack("<HHI", 258, 4, 1))
    (tmp_path / "a.tif").write_bytes(content[: place + 2] + struct.pack("<H", 7) + content[place + 4 :])  # bytes
    with pytest.raises(InputError, match="truncated or damaged"):
        count_slices(tmp_path / "a.tif")


def test_the_remedy_for_such_a_tiff_works(tmp_path):
    values = gradient(dtype=np.float64)
    (tmp_path / "a.tif").write_bytes(tiff_of(values.astype(np.float32), 3))
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif").numpy()[0], values)
