import io
from pathlib import Path

import itk
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from braintumor_ext.errors import InputError
from braintumor_ext.transforms import count_slices, read_grey, read_slice
from braintumor_ext.transforms.dicom_file import dicom_pixels
from braintumor_ext.transforms.dicom_stream import begins_frame, check_stream
from tests.transforms.files import gradient, write_dicom

READERS = ["itk", "pydicom"]


def decoded(path: Path, reader: str, frame: int = 0) -> np.ndarray:
    """A frame, (C, H, W), by the one reader first."""
    return dicom_pixels(path, reader)[frame]


@pytest.mark.parametrize("reader", READERS)
def test_rows_columns_and_rescaled_values_are_as_stored(tmp_path: Path, reader: str) -> None:
    pixels = gradient(dtype=np.int16) - 50
    path = write_dicom(tmp_path / "a.dcm", pixels, RescaleSlope="2.5", RescaleIntercept="-7")
    np.testing.assert_allclose(decoded(path, reader)[0], pixels * 2.5 - 7)


@pytest.mark.parametrize("reader", READERS)
def test_monochrome1_is_inverted(tmp_path: Path, reader: str) -> None:
    pixels = gradient()
    path = write_dicom(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(decoded(path, reader)[0], 255 - pixels.astype(int))


@pytest.mark.parametrize("reader", READERS)
def test_monochrome1_gives_the_grey_of_its_negative(tmp_path: Path, reader: str) -> None:
    pixels = gradient(dtype=np.int16) - 30
    tags = {"RescaleSlope": "3", "RescaleIntercept": "11"}
    plain = write_dicom(tmp_path / "a.dcm", pixels, **tags)
    negative = write_dicom(tmp_path / "b.dcm", -1 - pixels, PhotometricInterpretation="MONOCHROME1", **tags)
    np.testing.assert_allclose(decoded(negative, reader), decoded(plain, reader))


@pytest.mark.parametrize("reader", READERS)
def test_frames_are_slices(tmp_path: Path, reader: str) -> None:
    pixels = np.stack([gradient(dtype=np.uint16) + 100 * k for k in range(3)])
    path = write_dicom(tmp_path / "a.dcm", pixels)
    assert count_slices(path) == 3
    np.testing.assert_array_equal(decoded(path, reader, 1)[0], pixels[1])
    with pytest.raises(InputError, match=r"holds 3 slices.*--slices"):
        read_slice(path)


@pytest.mark.parametrize("reader", READERS)
def test_colour_comes_channels_first(tmp_path: Path, reader: str) -> None:
    pixels = np.stack([gradient(), gradient() // 2, gradient() // 3], axis=-1)
    read = decoded(write_dicom(tmp_path / "a.dcm", pixels), reader)
    np.testing.assert_array_equal(read, np.moveaxis(pixels, -1, 0))


def test_8_bit_values_are_ready_for_display(tmp_path: Path) -> None:
    np.testing.assert_allclose(read_grey(write_dicom(tmp_path / "a.dcm", gradient())), gradient() / np.float32(255))


def test_the_affine_follows_the_header(tmp_path: Path) -> None:
    meta = read_slice(write_dicom(tmp_path / "a.dcm", gradient())).meta
    # Rows are 0.8 mm apart and run to P, columns 0.5 mm and run to L; LPS (-10, -20, 30) is RAS (10, 20, 30).
    expected = [[0, -0.5, 0, 10], [-0.8, 0, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(np.asarray(meta["affine"]), expected)
    np.testing.assert_allclose(meta["spacing"], [0.8, 0.5])


def test_the_geometry_of_enhanced_frames_is_read(tmp_path: Path) -> None:
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.6], 2
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    frames = []
    for k in range(3):
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = [-10, 5.0 * k, 30]
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    path = write_dicom(
        tmp_path / "a.dcm",
        np.stack([gradient(dtype=np.uint16)] * 3),
        PixelSpacing=None,
        ImageOrientationPatient=None,
        ImagePositionPatient=None,
        SliceThickness=None,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )
    meta = read_slice(path, 2).meta
    expected = [[0, -0.6, 0, 10], [0, 0, -5, -10], [-0.9, 0, 0, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(np.asarray(meta["affine"]), expected, atol=1e-9)
    np.testing.assert_allclose(meta["spacing"], [0.9, 0.6])


def test_unknown_geometry_has_no_spacing(tmp_path: Path) -> None:
    tags = dict.fromkeys(["PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"])
    meta = read_slice(write_dicom(tmp_path / "a.dcm", gradient(), **tags)).meta
    assert np.isnan(meta["spacing"]).all()
    assert abs(np.linalg.det(np.asarray(meta["affine"]))) > 0


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", gradient(200, 200, np.uint16))
    path.write_bytes(path.read_bytes()[:-20000])
    with pytest.raises(InputError, match=r"bytes.*needs 80,000|damaged"):
        read_slice(path)


@pytest.mark.parametrize("reader", READERS)
def test_fewer_bytes_than_the_header_needs_are_an_error_though_their_length_is_told_right(tmp_path, reader):
    more = {"RedPaletteColorLookupTableData": bytes(50000)}  # so that the file is large enough
    path = write_dicom(tmp_path / "a.dcm", gradient(200, 200, np.uint16), PixelData=bytes(40000), **more)
    with pytest.raises(InputError, match=r"holds 40,000 bytes of pixels where its header needs 80,000 .*200 x 200"):
        decoded(path, reader)


@pytest.mark.parametrize("reader", READERS)
def test_more_frames_than_the_header_tells_are_an_error(tmp_path, reader):
    """Half of the rows, or a forgotten number of frames: the rest would be left out in silence."""
    path = write_dicom(tmp_path / "a.dcm", gradient(80, 30, np.uint16), Rows=40)
    with pytest.raises(InputError, match="holds 4,800 bytes of pixels where its header needs 2,400"):
        decoded(path, reader)


def test_a_row_of_filling_after_the_pixels_is_no_error(tmp_path):
    pixels = gradient(dtype=np.uint16)
    path = write_dicom(tmp_path / "a.dcm", pixels, PixelData=pixels.tobytes() + bytes(60))
    np.testing.assert_array_equal(read_slice(path)[0].numpy(), pixels)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("syntax", [pydicom.uid.JPEGLSLossless, pydicom.uid.RLELossless], ids=["JPEG-LS", "RLE"])
@pytest.mark.parametrize("size", [(80, 15), (40, 30), (30, 80)])
def test_compressed_pixels_of_another_size_than_the_header_s_are_an_error(tmp_path, syntax, size, reader):
    path = write_dicom(tmp_path / "a.dcm", gradient(80, 30, np.uint16))
    whole = pydicom.dcmread(path)
    whole.compress(syntax)
    whole.save_as(path)
    np.testing.assert_array_equal(read_slice(path)[0].numpy(), gradient(80, 30, np.uint16))
    if (syntax, size) == (pydicom.uid.RLELossless, (30, 80)):
        return  # run lengths tell of no rows
    whole.Rows, whole.Columns = size
    whole.save_as(path)
    with pytest.raises(InputError, match=r"holds (80 x 30 pixels|run lengths of more).* where its header|of more than"):
        decoded(path, reader)


@pytest.mark.parametrize("quality", [None, 90], ids=["JPEG 2000", "JPEG"])
def test_jpeg_streams_tell_their_size(tmp_path, quality):
    """Streams that Pillow wrote, colours and grey."""
    for mode, samples in (("L", 1), ("RGB", 3)):
        stream = io.BytesIO()
        image = Image.fromarray(gradient(80, 30)).convert(mode)
        if quality is None:
            image.save(stream, "JPEG2000", no_jp2=True)
        else:
            image.save(stream, "JPEG", quality=quality, comment="before the size")
        assert begins_frame(stream.getvalue())
        check_stream(tmp_path, stream.getvalue(), 80, 30, samples)
        for other in ((30, 80, samples), (80, 31, samples), (80, 30, 4 - samples)):
            with pytest.raises(InputError, match=rf"holds 80 x 30 pixels of {samples} sample"):
                check_stream(tmp_path, stream.getvalue(), *other)


@pytest.mark.parametrize(("tag", "kind"), [("08001600", b"UU"), ("28000200", b"U["), ("28000800", b"TI")])
def test_an_element_of_no_known_kind_is_damage(tmp_path, tag, kind):
    """The class of the image, its samples a pixel, its frames."""
    path = write_dicom(tmp_path / "a.dcm", np.stack([gradient()] * 2))
    content = bytearray(path.read_bytes())
    place = content.rindex(bytes.fromhex(tag)) + 4
    content[place : place + 2] = kind
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.dcm"):
        count_slices(path)


def test_an_element_of_no_known_kind_before_the_header_is_damage(tmp_path):
    """GDCM took 1.2 GB for it: it reads the length of another kind in other places."""
    path = write_dicom(tmp_path / "a.dcm", gradient())
    content = bytearray(path.read_bytes())
    place = content.index(bytes.fromhex("02001300")) + 4  # the version of the program that wrote it
    assert content[place : place + 2] == b"SH"
    content[place : place + 2] = b"Sh"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.dcm: .*damaged header"):
        read_slice(path)


def test_pixels_of_no_bits_are_an_error(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", gradient())
    whole = pydicom.dcmread(path)
    whole.BitsAllocated = 0
    whole.save_as(path)
    with pytest.raises(InputError, match=r"pixels of 0 bits"):
        read_slice(path)


@pytest.mark.parametrize("told", [1, 3])
def test_other_fragments_than_frames_are_an_error(tmp_path, told):
    path = write_dicom(tmp_path / "a.dcm", np.stack([gradient(dtype=np.uint16)] * 2))
    whole = pydicom.dcmread(path)
    whole.compress(pydicom.uid.RLELossless)
    whole.NumberOfFrames = told
    whole.save_as(path)
    with pytest.raises(InputError, match=rf"holds 2 fragment\(s\) of pixels where its header needs {told}"):
        read_slice(path, 0)


def test_an_element_that_claims_more_than_the_file_holds_is_an_error(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", gradient(dtype=np.uint16))
    head = bytes.fromhex("00b000b1") + b"OB\0\0" + (3_000_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes() + head + bytes(8))
    with pytest.raises(InputError, match="needs 3,000,000,000"):
        read_slice(path)


def test_a_fragment_that_claims_more_than_the_file_holds_is_an_error(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", gradient(dtype=np.uint16))
    whole = pydicom.dcmread(path)
    whole.compress(pydicom.uid.RLELossless)
    whole.save_as(path)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"\xfe\xff\x00\xe0") + 4
    content[place : place + 4] = (2_500_000_000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"holds 0 fragment|damaged"):
        read_slice(path)


def test_run_length_segments_out_of_order_are_an_error(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", gradient(dtype=np.uint16))
    whole = pydicom.dcmread(path)
    whole.compress(pydicom.uid.RLELossless)
    whole.save_as(path)
    assert read_slice(path).shape == (1, 40, 30)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"\xfe\xff\x00\xe0") + 16  # of the second segment, before the first
    content[place : place + 4] = (9).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match="segments"):
        read_slice(path)


def test_colours_of_one_sample_are_an_error(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", gradient(), PhotometricInterpretation="RGB")
    with pytest.raises(InputError, match=r"1 sample\(s\) a pixel where RGB has 3"):
        count_slices(path)


def test_a_segmentation_is_no_image(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", gradient(), SOPClassUID=pydicom.uid.SegmentationStorage)
    with pytest.raises(InputError, match="is a DICOM segmentation"):
        read_slice(path)


def test_a_mosaic_of_slices_is_no_slice(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", gradient(), ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    with pytest.raises(InputError, match=r"is a mosaic .* dcm2niix"):
        read_slice(path)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("reader", READERS)
def test_padding_is_as_dark_as_the_darkest_of_the_rest(tmp_path, reader, photometric):
    pixels = gradient(dtype=np.int16) + 100
    padded = pixels.copy()
    padded[:5], padded[5:8] = -2000, -1998
    tags = {"RescaleSlope": "2", "RescaleIntercept": "10", "PhotometricInterpretation": photometric}
    plain = decoded(write_dicom(tmp_path / "a.dcm", pixels, **tags), reader)[0]
    padding = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1998}
    found = decoded(write_dicom(tmp_path / "b.dcm", padded, **tags, **padding), reader)[0]
    np.testing.assert_allclose(found[8:], plain[8:])
    np.testing.assert_allclose(found[:8], plain[8:].min())


def enhanced(path, positions, orientations=None):
    """Write a file whose frame k holds the values k and lies at ``positions[k]``."""
    frames = []
    for k, place in enumerate(positions):
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = list(place)
        frame.PlanePositionSequence = [position]
        if orientations is not None:
            turn = Dataset()
            turn.ImageOrientationPatient = orientations[k]
            frame.PlaneOrientationSequence = [turn]
        frames.append(frame)
    pixels = np.stack([gradient(dtype=np.uint16) + 1000 * k for k in range(len(positions))])
    return write_dicom(path, pixels, ImagePositionPatient=None, PerFrameFunctionalGroupsSequence=frames)


@pytest.mark.parametrize("kind", ["SS", "US"])
def test_the_padding_of_signed_pixels_may_be_told_without_its_sign(tmp_path, kind):
    """As some scanners do: 63,536 to 63,546 are -2,000 to -1,990 in 16 bits."""
    values = gradient(dtype=np.int16)
    values[:, :10] = np.arange(-2000, -1990)
    path = write_dicom(tmp_path / "a.dcm", values)
    whole = pydicom.dcmread(path)
    for tag, value in ((0x00280120, -2000), (0x00280121, -1990)):
        whole.add_new(tag, kind, value + (2**16 if kind == "US" else 0))
    whole.save_as(path)
    read = read_slice(path)[0].numpy()
    np.testing.assert_array_equal(read[:, 10:], values[:, 10:])
    assert (read[:, :10] == 10).all()  # the darkest of the rest


def test_frames_are_read_in_their_spatial_order_wherever_they_are_stored(tmp_path):
    stored = [3, 0, 2, 1]  # the place of each stored frame
    path = enhanced(tmp_path / "a.dcm", [(1, 2, 5.0 * place) for place in stored])
    for place in range(4):
        read = read_slice(path, place)
        frame = stored.index(place)
        np.testing.assert_array_equal(read[0].numpy(), gradient(dtype=np.uint16) + 1000 * frame)
        assert read.meta["native_frame"] == frame
        np.testing.assert_allclose(np.asarray(read.meta["affine"])[:3, 3], [-1, -2, 5 * place])  # LPS to RAS
    np.testing.assert_allclose(np.asarray(read.meta["native_affine"])[:3, 2], [0, 0, 5])


def test_frames_from_top_to_bottom_stay_as_they_are_stored(tmp_path):
    path = enhanced(tmp_path / "a.dcm", [(0, 0, -5.0 * k) for k in range(3)])
    read = read_slice(path, 2)
    assert (read.meta["native_frame"], read[0, 0, 0]) == (2, 2000)
    np.testing.assert_allclose(np.asarray(read.meta["affine"])[:3, 3], [0, 0, -10])


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ([0, 5, 5, 10], r"several frames at one place \(2 and 3"),
        ([0, 5, 10, 20], r"unevenly spaced frames \(5 to 10 mm"),
    ],
)
def test_frames_that_one_affine_cannot_place_are_an_error(tmp_path, places, told):
    path = enhanced(tmp_path / "a.dcm", [(0, 0, place) for place in places])
    with pytest.raises(InputError, match=told):
        count_slices(path)


def test_frames_of_several_orientations_are_an_error(tmp_path):
    axial, coronal = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]
    path = enhanced(tmp_path / "a.dcm", [(0, 0, 0), (0, 5, 0)], [axial, coronal])
    with pytest.raises(InputError, match="several orientations"):
        count_slices(path)


def test_a_file_without_pixels_is_an_error(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", gradient(), Rows=None, Columns=None, PixelData=None)
    with pytest.raises(InputError, match="holds no DICOM image"):
        read_slice(path)


def test_text_named_dcm_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("not a DICOM file, though it says so " * 20)
    with pytest.raises(InputError, match="DICOM"):
        read_slice(tmp_path / "a.dcm")


def test_the_other_reader_takes_over(tmp_path: Path) -> None:
    # A file older than the preamble: ITK needs the signature, pydicom reads it by force.
    path = write_dicom(tmp_path / "a.dcm", gradient(dtype=np.uint16))
    whole = path.read_bytes()
    data_set = whole.index(b"\x08\x00\x16\x00")  # the first element after the file meta group
    implicit = tmp_path / "b.dcm"
    implicit.write_bytes(whole[data_set:])
    np.testing.assert_array_equal(read_slice(implicit)[0].numpy(), gradient(dtype=np.uint16))


@pytest.mark.real_data
def test_both_readers_give_the_same_real_slices(dicom_head: Path) -> None:
    paths = sorted(dicom_head.glob("*.dcm"))[::4]
    for path in paths:
        by_itk, by_pydicom = (decoded(path, reader) for reader in READERS)
        assert by_itk.shape == (1, 384, 274)
        np.testing.assert_array_equal(by_itk, by_pydicom)
        np.testing.assert_array_equal(by_itk[0], pydicom.dcmread(path).pixel_array)


@pytest.mark.real_data
def test_real_pixels_lie_where_itk_places_them(dicom_head: Path) -> None:
    path = min(dicom_head.glob("*.dcm"))
    image, affine = itk.imread(str(path)), np.asarray(read_slice(path).affine)
    for row, column in [(0, 0), (383, 0), (10, 250)]:
        lps = np.array(image.TransformIndexToPhysicalPoint([column, row, 0]))
        np.testing.assert_allclose((affine @ (row, column, 0, 1))[:3], lps * (-1, -1, 1), atol=1e-4)
