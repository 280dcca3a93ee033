"""Masks in the format that was asked for, whatever the inputs'."""

from __future__ import annotations

import shutil
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from braintumor_ext import Predictor
from tests.bundle.workflows import told
from tests.conftest import REPOSITORY
from tests.inference.conftest import predict
from tests.one_slice import shown_slice, write_series

FAST = {"explain": "none", "overlays": False, "report": False}


@pytest.fixture(scope="module")
def inputs(one_slice: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, a NIfTI slice, a series of two slices among which lies another series, and a file without geometry."""
    folder = tmp_path_factory.mktemp("inputs")
    for form in ("png", "nifti"):
        shutil.copy(one_slice[form], folder)
    shown = shown_slice()
    flipped = np.ascontiguousarray(shown[:, ::-1])
    write_series(folder, [shown, flipped], names=["a.dcm", "c.dcm"], number=1)
    write_series(folder, [np.ascontiguousarray(shown[::-1])], names=["b.dcm"], number=2)
    write_series(folder, [shown], names=["flat.dcm"], number=3, ImagePositionPatient=None)
    return folder


@pytest.fixture(scope="module")
def masks(inputs: Path, example_models: Path) -> dict[str, np.ndarray]:
    """The mask of each input as a person sees it."""
    predictor = Predictor.from_bundle(REPOSITORY, example_models / "model.pt", "cpu")
    return {path.name: predictor(path).mask for path in sorted(inputs.iterdir())}


def test_dicom_seg_writes_one_object_a_series_and_others_keep_their_format(inputs, masks, example_models, tmp_path):
    run = predict(inputs, tmp_path / "out", example_models, output_format="dicom_seg", **FAST)
    first, second = (pydicom.dcmread(inputs / name).SeriesInstanceUID for name in ("a.dcm", "b.dcm"))
    assert run.row("a.dcm")["mask"] == run.row("c.dcm")["mask"] == f"masks/{first}.dcm"
    assert run.row("b.dcm")["mask"] == f"masks/{second}.dcm"
    for names, uid in ((("a.dcm", "c.dcm"), first), (("b.dcm",), second)):
        seg = hd.seg.segread(run.folder / "masks" / f"{uid}.dcm")
        instances = [pydicom.dcmread(inputs / name).SOPInstanceUID for name in names]
        found = seg.get_pixels_by_source_instance(instances, combine_segments=True)
        assert found.any()
        for mask, name in zip(found, names, strict=True):
            assert np.array_equal(mask > 0, masks[name])
    assert run.row("slice.png")["mask"] == "masks/slice.png"
    assert run.row("slice_2d.nii.gz")["mask"] == "masks/slice_2d.nii.gz"


def test_a_file_without_geometry_keeps_its_class_and_says_what_it_lacks(inputs, example_models, tmp_path):
    run = predict(inputs, tmp_path / "out", example_models, output_format="dicom_seg", **FAST)
    row = run.row("flat.dcm")
    assert row["class"]
    assert "ImagePositionPatient" in row["error"]
    assert row["mask"] == ""
    assert "1 of 6 inputs" in (run.exit_message or "")


def test_png_writes_what_a_person_sees(inputs, masks, example_models, tmp_path):
    run = predict(inputs, tmp_path / "out", example_models, output_format="png", **FAST)
    for name, mask in masks.items():
        found = np.asarray(Image.open(run.folder / run.row(name)["mask"]))
        assert set(np.unique(found)) <= {0, 255}
        assert np.array_equal(found > 0, mask), name
    assert run.exit_message is None


def test_nifti_writes_a_picture_s_mask_too(inputs, masks, example_models, tmp_path):
    run = predict(inputs, tmp_path / "out", example_models, output_format="nifti", **FAST)
    assert {row["mask"].removeprefix("masks/") for row in run.rows} >= {"slice.nii.gz", "a.nii.gz", "slice_2d.nii.gz"}
    image = nibabel.as_closest_canonical(nibabel.load(run.folder / "masks" / "slice.nii.gz"))
    assert np.array_equal(np.asarray(image.dataobj)[::-1, ::-1, 0].T > 0, masks["slice.png"])


def test_an_unknown_format_is_refused_before_anything_is_written(inputs, example_models, tmp_path):
    with told("--output_format: there is no format 'tiff'. Give png, nifti, dicom_seg"):
        predict(inputs, tmp_path / "out", example_models, output_format="tiff", **FAST)
    assert not (tmp_path / "out").exists()
