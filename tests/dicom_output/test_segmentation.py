"""A segmentation lies where its sources lie, and says what made it."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedMRImageStorage, generate_uid

from braintumor_ext.dicom_output import Algorithm, tumour_segmentation, write_dicom
from braintumor_ext.dicom_output.sources import split_series
from braintumor_ext.errors import InputError
from tests.one_slice import COLUMN_MM, HEIGHT, ROW_MM, WIDTH, shown_slice, write_series

ALGORITHM = Algorithm(name="Brain tumours", version="1.2.3", manufacturer="tests", sha256="ab" * 32)


def masks(count: int) -> np.ndarray:
    """Masks (N, H, W), each unlike the others and unlike its own flips and transposition."""
    found = np.zeros((count, HEIGHT, WIDTH), dtype=bool)
    for index in range(count):
        found[index, 5 + 3 * index : 20 + 3 * index, 10 : 14 + index] = True
    return found


def series(folder: Path, count: int, **tags: object) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in write_series(folder, [shown_slice()] * count, **tags)]


def multi_frame(count: int, repeated: bool = True) -> pydicom.Dataset:
    """The header of an Enhanced MR image whose frames are stacked downwards; repeated: each tells all geometry."""
    source = pydicom.Dataset()
    source.SOPClassUID, source.SOPInstanceUID = EnhancedMRImageStorage, generate_uid()
    source.StudyInstanceUID, source.SeriesInstanceUID = generate_uid(), generate_uid()
    source.FrameOfReferenceUID, source.Modality = generate_uid(), "MR"
    source.Rows, source.Columns, source.NumberOfFrames = HEIGHT, WIDTH, count
    orientation, measures = pydicom.Dataset(), pydicom.Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [ROW_MM, COLUMN_MM], 4
    shared, frames = pydicom.Dataset(), [pydicom.Dataset() for _ in range(count)]
    for index, frame in enumerate(frames):
        position = pydicom.Dataset()
        position.ImagePositionPatient = [-10, -20, -4 * index]
        frame.PlanePositionSequence = [position]
    for groups in frames if repeated else [shared]:
        groups.PlaneOrientationSequence, groups.PixelMeasuresSequence = [orientation], [measures]
    source.SharedFunctionalGroupsSequence, source.PerFrameFunctionalGroupsSequence = [shared], frames
    return source


def read_back(segmentation: pydicom.Dataset, folder: Path) -> pydicom.Dataset:
    """What a reader that knows nothing of the writer finds in the file."""
    path = folder / "seg.dcm"
    write_dicom(segmentation, path)
    return pydicom.dcmread(path)


@pytest.mark.parametrize("count", [1, 4])
def test_each_mask_lies_on_its_image_whatever_their_order(count, tmp_path):
    sources = series(tmp_path, count)
    order = np.random.default_rng(0).permutation(count)
    wanted = masks(count)
    seg = read_back(tumour_segmentation([sources[i] for i in order], wanted[order], algorithm=ALGORITHM), tmp_path)
    by_uid = {source.SOPInstanceUID: index for index, source in enumerate(sources)}
    pixels = seg.pixel_array.reshape(-1, HEIGHT, WIDTH)
    seen = set()
    for frame, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        index = by_uid[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        seen.add(index)
        assert np.array_equal(frame > 0, wanted[index])
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert list(position) == list(sources[index].ImagePositionPatient)
    assert seen == set(range(count))
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing] == [ROW_MM, COLUMN_MM]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert seg.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    assert seg.StudyInstanceUID == sources[0].StudyInstanceUID
    assert seg.SeriesInstanceUID != sources[0].SeriesInstanceUID
    assert seg.PatientID == sources[0].PatientID


def test_highdicom_reads_the_masks_by_the_images(tmp_path):
    sources = series(tmp_path, 3)
    write_dicom(tumour_segmentation(sources, masks(3), algorithm=ALGORITHM), tmp_path / "seg.dcm")
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    found = seg.get_pixels_by_source_instance([s.SOPInstanceUID for s in sources], combine_segments=True)
    assert np.array_equal(found > 0, masks(3))


def test_the_segment_says_what_it_is_and_what_found_it(tmp_path):
    seg = read_back(tumour_segmentation(series(tmp_path, 1), masks(1), algorithm=ALGORITHM), tmp_path)
    (segment,) = seg.SegmentSequence
    category, kind = segment.SegmentedPropertyCategoryCodeSequence[0], segment.SegmentedPropertyTypeCodeSequence[0]
    assert (category.CodeValue, category.CodingSchemeDesignator) == ("49755003", "SCT")
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("108369006", "SCT")
    assert segment.AnatomicRegionSequence[0].CodeValue == "12738006"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    made_by = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == ("Brain tumours", "1.2.3")
    assert made_by.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert "ab" * 32 in made_by.AlgorithmParameters
    assert seg.SegmentationType == "BINARY"
    assert "esearch" in seg.SeriesDescription


def test_that_no_tumour_was_found_is_a_prediction_too(tmp_path):
    seg = read_back(tumour_segmentation(series(tmp_path, 2), masks(2) & False, algorithm=ALGORITHM), tmp_path)
    assert seg.NumberOfFrames == 2
    assert not seg.pixel_array.any()


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "FrameOfReferenceUID", "PixelSpacing", "SeriesInstanceUID"]
)
def test_a_source_that_lacks_what_is_needed_is_named_with_what_it_lacks(keyword, tmp_path):
    sources = series(tmp_path, 2)
    del sources[1][keyword]
    with pytest.raises(InputError, match=rf"slice01\.dcm: lacks .*{keyword}"):
        tumour_segmentation(sources, masks(2), algorithm=ALGORITHM)


def test_sources_that_are_no_one_volume_are_refused_and_told_apart(tmp_path):
    sources = series(tmp_path, 3)
    sources[2].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    with pytest.raises(InputError, match=r"differs from .* in orientation"):
        tumour_segmentation(sources, masks(3), algorithm=ALGORITHM)
    assert sorted(map(sorted, split_series(sources))) == [[0, 1], [2]]
    sources[2] = pydicom.dcmread(sources[2].filename)
    sources[2].ImagePositionPatient = sources[0].ImagePositionPatient
    with pytest.raises(InputError, match="lies at the place of"):
        tumour_segmentation(sources, masks(3), algorithm=ALGORITHM)
    assert sorted(map(sorted, split_series(sources))) == [[0, 1], [2]]


@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("frames", [None, [3, 1], [2]])
def test_masks_lie_on_the_frames_of_a_multi_frame_image(frames, repeated, tmp_path):
    source, order = multi_frame(4, repeated), frames or [0, 1, 2, 3]
    wanted = masks(len(order))
    seg = read_back(tumour_segmentation([source], wanted, algorithm=ALGORITHM, frames=frames), tmp_path)
    pixels = seg.pixel_array.reshape(-1, HEIGHT, WIDTH)
    assert len(pixels) == len(order)
    for frame, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        index = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber - 1
        assert np.array_equal(frame > 0, wanted[order.index(index)])
        assert groups.PlanePositionSequence[0].ImagePositionPatient == [-10, -20, -4 * index]
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(v) for v in spacing] == [ROW_MM, COLUMN_MM]


def test_masks_of_another_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match="do not fit"):
        tumour_segmentation(series(tmp_path, 2), masks(2).transpose(0, 2, 1), algorithm=ALGORITHM)


def test_the_sources_stay_as_they_are(tmp_path):
    sources = series(tmp_path, 2)
    before = [source.to_json() for source in sources]
    tumour_segmentation(sources, masks(2), algorithm=ALGORITHM)
    assert [source.to_json() for source in sources] == before


@pytest.mark.real_data
def test_a_real_series_with_unlike_spacings(dicom_head, tmp_path):
    sources = [pydicom.dcmread(path) for path in sorted(dicom_head.glob("*.dcm"))]
    found = np.zeros((len(sources), sources[0].Rows, sources[0].Columns), dtype=bool)
    for index in range(len(sources)):
        found[index, 20:60, 100 : 110 + index] = True
    seg = read_back(tumour_segmentation(sources[::-1], found[::-1], algorithm=ALGORITHM), tmp_path)
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(v) for v in spacing] == pytest.approx([float(v) for v in sources[0].PixelSpacing], abs=1e-9)
    assert float(spacing[0]) != float(spacing[1])
    areas = {s.SOPInstanceUID: int(mask.sum()) for s, mask in zip(sources, found, strict=True)}
    places = {s.SOPInstanceUID: list(s.ImagePositionPatient) for s in sources}
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        uid = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert frame.sum() == areas[uid]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert [float(v) for v in position] == pytest.approx([float(v) for v in places[uid]], abs=1e-6)
