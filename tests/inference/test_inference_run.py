"""The bundle's inference as a whole, with a model whose mask outlines bright squares."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.bundle.workflows import command_line, told
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import SIZE, square_slice
from tests.inference.conftest import Prediction, predict
from tests.transforms.files import write_dicom

CLASS_NAMES = ("glioma", "meningioma", "pituitary", "no_tumor")
AFFINE = np.array([[-0.9, 0.1, 0, 80], [0.1, 0.8, 0, -60], [0, 0, 6, -20], [0, 0, 0, 1.0]])
SPACING = (0.667, 0.700)
ORIENTATION = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]  # sagittal: columns run to posterior, rows to inferior
MASKS_ALONE = {"explain": "none", "overlays": False, "report": False}
"""For runs of which only rows and masks are looked at."""


def byte_slice(height: int, width: int, **place: float) -> tuple[np.ndarray, np.ndarray]:
    image, square = square_slice(height, width, **place)
    return np.round(image * 255).astype(np.uint8), square


def write_nifti(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Write a volume with a bright block that moves from slice to slice; return the block in the file's own grid."""
    volume, block = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    for index in range(shape[2]):
        place = {"top": 0.15 + 0.1 * index, "left": 0.6 - 0.1 * index, "seed": index}
        volume[:, :, index], block[:, :, index] = square_slice(shape[0], shape[1], **place)
    nibabel.save(nibabel.Nifti1Image(volume * 3000, AFFINE), path)
    return block


def write_inputs(folder: Path) -> dict[str, np.ndarray]:
    """Write good and bad inputs of every format; return each good one's bright square in the file's own grid."""
    squares: dict[str, np.ndarray] = {}
    (folder / "sub one" / "deep").mkdir(parents=True)
    for name, size in (
        ("a slice (1).png", (70, 90)),
        ("b.bmp", (64, 80)),
        ("b.jpg", (90, 70)),
        ("sub one/c.tiff", (48, 48)),
    ):
        image, squares[name] = byte_slice(*size)
        Image.fromarray(image).save(folder / name, **({"quality": 95} if name.endswith("jpg") else {}))
    image, square = byte_slice(80, 72, top=0.55, left=0.2)
    Image.fromarray(image.astype(np.uint16) * 200 + 500).save(folder / "sub one" / "sixteen.png")
    opaque = np.full_like(image, 255)
    Image.fromarray(np.stack([image, image, image, opaque], axis=-1)).save(folder / "sub one" / "deep" / "rgba.png")
    Image.fromarray(image).convert("P").save(folder / "sub one" / "deep" / "palette.png")
    for name in ("sub one/sixteen.png", "sub one/deep/rgba.png", "sub one/deep/palette.png"):
        squares[name] = square
    image, square = byte_slice(76, 68, top=0.3, left=0.1)
    tags = {"PixelSpacing": list(SPACING), "ImageOrientationPatient": ORIENTATION}
    write_dicom(folder / "head.dcm", image.astype(np.int16) * 4, **tags)
    squares["head.dcm"] = square.T[:, :, None]  # ITK's and NIfTI's index order: column, row, slice
    squares["one.nii"] = write_nifti(folder / "one.nii", (66, 74, 1))
    squares["v 1.nii.gz"] = write_nifti(folder / "v 1.nii.gz", (66, 74, 5))
    good = (folder / "a slice (1).png").read_bytes()
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "sub one" / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture")
    Image.fromarray(np.full((40, 40), 9, dtype=np.uint8)).save(folder / "constant.png")
    nan = np.ones((40, 40, 1), dtype=np.float32)
    nan[3:9] = np.nan
    nibabel.save(nibabel.Nifti1Image(nan, np.eye(4)), folder / "nan.nii.gz")
    (folder / "readme.txt").write_text("no input")
    return squares


GOOD = (
    "a slice (1).png",
    "b.bmp",
    "b.jpg",
    "head.dcm",
    "one.nii",
    "sub one/c.tiff",
    "sub one/deep/palette.png",
    "sub one/deep/rgba.png",
    "sub one/sixteen.png",
)
BAD = {
    "constant.png": ("constant image", "Leave it out"),
    "cut.png": ("truncated", "Copy it again"),
    "nan.nii.gz": ("NaN", "leave out"),
    "sub one/empty.jpg": ("0 bytes", "Copy it again"),
    "text.jpg": ("is no picture", "Replace it"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed") / "my inputs"
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return write_inputs(tmp_path_factory.mktemp("again") / "my inputs")


@pytest.fixture(scope="module")
def mixed(inputs: Path, ckpt_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    """All slices of all files."""
    return predict(inputs, tmp_path_factory.mktemp("predictions"), ckpt_dir, slices="all", batch_size=4)


def native_mask(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        return np.asarray(Image.open(path)) > 0
    return np.asarray(nibabel.load(path).dataobj) > 0


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    return 2 * (found & wanted).sum() / max(found.sum() + wanted.sum(), 1)


def test_rows_stand_in_the_order_of_relative_paths_one_for_each_input_failed_ones_too(mixed):
    expected = sorted([*((name, "") for name in (*GOOD, *BAD)), *(("v 1.nii.gz", str(index)) for index in range(5))])
    assert [(row["file"], row["slice"]) for row in mixed.rows] == expected


def test_failed_rows_say_what_is_wrong_and_what_to_do_and_the_run_fails(mixed):
    assert {row["file"] for row in mixed.rows if row["error"]} == set(BAD)
    for name, (problem, remedy) in BAD.items():
        row = mixed.row(name)
        assert problem in row["error"]
        assert remedy in row["error"]
        assert row["class"] == row["area_px"] == row["mask"] == row["overlay"] == ""
        assert name in mixed.exit_message
    assert mixed.exit_message.startswith(f"{len(BAD)} of {len(GOOD) + 5 + len(BAD)} inputs")


def test_a_mask_lies_on_the_tumour_in_its_input_s_own_grid(mixed, squares):
    for name in (*GOOD, "v 1.nii.gz"):
        row = mixed.row(name) if name in GOOD else mixed.row(name, 0)
        found = native_mask(mixed.folder / row["mask"])
        assert found.shape == squares[name].shape, name
        assert overlap(found, squares[name]) > 0.7, name
        assert overlap(found, np.flip(squares[name], axis=0)) < 0.4, name  # a flipped mask would be seen


def test_a_nifti_mask_has_its_input_s_shape_and_affine(mixed, inputs):
    for name in ("one.nii", "v 1.nii.gz"):
        source = nibabel.load(inputs / name)
        mask = nibabel.load(mixed.folder / mixed.row(name, 0 if name.startswith("v") else None)["mask"])
        assert mask.shape == source.shape
        np.testing.assert_array_equal(mask.affine, source.affine)
        assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1}


def assert_dicom_pixels_lie_where_the_header_says(mask: Path, dicom: Path) -> None:
    """DICOM PS3.3 C.7.6.2.1.1: position + column * spacing * row direction + row * spacing * column direction, LPS."""
    header = pydicom.dcmread(dicom, stop_before_pixels=True)
    affine = nibabel.load(mask).affine
    along_row, along_column = np.split(np.array(header.ImageOrientationPatient, dtype=float), 2)
    position, spacing = np.array(header.ImagePositionPatient, dtype=float), np.array(header.PixelSpacing, dtype=float)
    for row, column in ((0, 0), (0, 9), (7, 0), (header.Rows - 1, header.Columns - 1)):
        lps = position + column * spacing[1] * along_row + row * spacing[0] * along_column
        ras = affine @ [column, row, 0, 1]
        np.testing.assert_allclose(ras[:3], lps * [-1, -1, 1], atol=1e-3)  # NIfTI stores the affine in float32


def test_a_dicom_mask_is_a_nifti_file_in_the_patient_s_space(mixed, inputs):
    row = mixed.row("head.dcm")
    assert row["mask"] == "masks/head.nii.gz"
    assert_dicom_pixels_lie_where_the_header_says(mixed.folder / row["mask"], inputs / "head.dcm")


def test_areas_are_those_of_the_written_masks(mixed):
    for row in mixed.rows:
        if row["error"]:
            continue
        mask = native_mask(mixed.folder / row["mask"])
        area = int((mask[:, :, int(row["slice"])] if row["slice"] else mask).sum())
        assert int(row["area_px"]) == area > 0
        if row["file"] == "head.dcm":
            pixel = SPACING[0] * SPACING[1]
        elif ".nii" in row["file"]:
            pixel = math.hypot(0.9, 0.1) * math.hypot(0.1, 0.8)
        else:
            assert row["area_mm2"] == ""
            continue
        assert float(row["area_mm2"]) == pytest.approx(area * pixel, abs=2e-3)


def test_probabilities_sum_to_one_and_the_class_is_the_most_probable(mixed):
    for row in mixed.rows:
        if not row["error"]:
            shares = [float(row[f"p_{name}"]) for name in CLASS_NAMES]
            assert sum(shares) == pytest.approx(1, abs=4e-6)
            assert row["class"] == CLASS_NAMES[int(np.argmax(shares))]


def test_csv_and_json_agree(mixed):
    as_text = [{key: "" if v is None else str(v) for key, v in row.items()} for row in mixed.json_rows]
    assert as_text == mixed.rows


def test_each_slice_has_its_overlay_and_no_two_share_one(mixed):
    overlays = [row["overlay"] for row in mixed.rows if not row["error"]]
    assert len(set(overlays)) == len(overlays)
    for path in overlays:
        with Image.open(mixed.folder / path) as picture:
            assert picture.size[0] > 400
            assert np.asarray(picture).std() > 10
    assert mixed.row("b.jpg")["overlay"] == "overlays/b.jpg.png"
    assert mixed.row("v 1.nii.gz", 3)["overlay"] == "overlays/v 1_slice003.png"


def test_slices_smaller_than_the_network_s_input_are_flagged(mixed):
    flagged = {row["file"] for row in mixed.rows if "upscaled" in row["flags"]}
    assert flagged == {"sub one/c.tiff"}
    assert min(square_slice(64, 80)[0].shape) == SIZE  # b.bmp just fits


def test_a_second_run_keeps_the_earlier_table_and_reads_none_of_its_own_output(inputs, ckpt_dir, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    shutil.copyfile(inputs / "b.bmp", source / "b.bmp")
    first = predict(source, source / "out", ckpt_dir)
    before = (source / "out" / "predictions.csv").read_bytes()
    second = predict(source, source / "out", ckpt_dir)
    assert len(first.rows) == len(second.rows) == 1
    kept = list((source / "out").glob("predictions.*.csv"))
    assert [path.read_bytes() for path in kept] == [before]
    assert first.exit_message is second.exit_message is None


def test_a_second_run_goes_on_where_it_is_asked_to(inputs, ckpt_dir, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    shutil.copyfile(inputs / "b.bmp", source / "b.bmp")
    predict(source, tmp_path / "out", ckpt_dir)
    mask = tmp_path / "out" / "masks" / "b.png"
    os.utime(mask, ns=(0, 0))
    shutil.copyfile(inputs / "b.jpg", source / "c.jpg")
    second = predict(source, tmp_path / "out", ckpt_dir, resume="true")
    assert [row["file"] for row in second.rows] == ["b.bmp", "c.jpg"]
    assert mask.stat().st_mtime_ns == 0
    third = predict(source, tmp_path / "out", ckpt_dir, resume=True)
    assert third.rows == second.rows
    assert third.exit_message is None
    with told('was begun with explain "gradcam", and this run has "none"'):
        predict(source, tmp_path / "out", ckpt_dir, resume=True, explain="none")


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 7, "num_workers": 2}], ids=["one", "workers"])
def test_batches_and_workers_change_nothing(mixed, inputs, ckpt_dir, tmp_path, settings):
    other = predict(inputs, tmp_path / "out", ckpt_dir, slices="all", overlays=False, report=False, **settings)
    for row, expected in zip(other.rows, mixed.rows, strict=True):
        for key in ("file", "slice", "class", "error", "flags", "mask"):
            assert row[key] == expected[key]
        if not row["error"]:
            for name in CLASS_NAMES:
                assert float(row[f"p_{name}"]) == pytest.approx(float(expected[f"p_{name}"]), abs=1e-4)
            assert abs(int(row["area_px"]) - int(expected["area_px"])) <= 2


@pytest.mark.parametrize(("slices", "index"), [("middle", 2), (4, 4), ("1", 1)])
def test_one_slice_of_a_volume_is_the_same_as_among_all(mixed, inputs, ckpt_dir, tmp_path, slices, index):
    one = predict(inputs / "v 1.nii.gz", tmp_path / "out", ckpt_dir, slices=slices, **MASKS_ALONE)
    (row,) = one.rows
    expected = mixed.row("v 1.nii.gz", index)
    assert (row["slice"], row["class"]) == (str(index), expected["class"])
    assert abs(int(row["area_px"]) - int(expected["area_px"])) <= 2
    mask = native_mask(tmp_path / "out" / row["mask"])
    assert mask.shape == (66, 74, 5)
    assert mask.any(axis=(0, 1)).tolist() == [k == index for k in range(5)]
    assert one.exit_message is None


def test_a_volume_needs_slices_that_it_has(inputs, ckpt_dir, tmp_path):
    without = predict(inputs / "v 1.nii.gz", tmp_path / "a", ckpt_dir)
    assert "holds 5 slices" in without.rows[0]["error"]
    assert "--slices all" in without.rows[0]["error"]
    beyond = predict(inputs / "v 1.nii.gz", tmp_path / "b", ckpt_dir, slices=5)
    assert beyond.rows[0]["slice"] == "5"
    assert "has no slice 5" in beyond.rows[0]["error"]
    assert "0 to 4" in beyond.rows[0]["error"]
    assert "v 1.nii.gz" in beyond.exit_message


def test_the_command_ends_well_where_every_input_was_predicted(inputs, ckpt_dir, tmp_path):
    """From the repository; tests/monai_bundle runs it from elsewhere, with a broken input, for the other exit code."""
    done = command_line(
        *("--config_file", "configs/inference.json", "--dataset_dir", str(inputs / "b.bmp")),
        *("--ckpt_dir", str(ckpt_dir), "--image_size", str(SIZE), "--output_dir", str(tmp_path / "out")),
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    assert [row["error"] for row in Prediction(tmp_path / "out", None).rows] == [""]


@pytest.mark.real_data
def test_a_whole_dicom_series(dicom_head, ckpt_dir, tmp_path):
    found = predict(dicom_head, tmp_path / "out", ckpt_dir, **MASKS_ALONE)
    names = sorted(path.name for path in dicom_head.glob("*.dcm"))
    assert [row["file"] for row in found.rows] == names
    assert len(names) == 32
    assert found.exit_message is None
    for row in found.rows[::10]:
        path = found.folder / row["mask"]
        header = pydicom.dcmread(dicom_head / row["file"], stop_before_pixels=True)
        assert nibabel.load(path).shape == (header.Columns, header.Rows, 1)
        assert_dicom_pixels_lie_where_the_header_says(path, dicom_head / row["file"])
        pixel = float(header.PixelSpacing[0]) * float(header.PixelSpacing[1])
        assert pixel == pytest.approx(0.667 * 0.700, rel=2e-3)
        assert float(row["area_mm2"]) == pytest.approx(int(row["area_px"]) * pixel, abs=1e-3)


@pytest.mark.real_data
def test_slices_of_real_nifti_volumes(nifti_glioblastoma, ckpt_dir, tmp_path):
    whole = predict(nifti_glioblastoma / "case01.nii.gz", tmp_path / "all", ckpt_dir, slices="all", **MASKS_ALONE)
    source = nibabel.load(nifti_glioblastoma / "case01.nii.gz")
    mask = nibabel.load(whole.folder / whole.rows[0]["mask"])
    assert [row["slice"] for row in whole.rows] == [str(index) for index in range(source.shape[2])]
    assert mask.shape == source.shape
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-6)
    assert np.asarray(mask.dataobj).sum() == sum(int(row["area_px"] or 0) for row in whole.rows)
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("case01.nii.gz", "case02.nii.gz"):
        shutil.copyfile(nifti_glioblastoma / name, folder / name)
    middle = predict(folder, tmp_path / "middle", ckpt_dir, slices="middle", **MASKS_ALONE)
    assert [(row["file"], row["slice"]) for row in middle.rows] == [("case01.nii.gz", "12"), ("case02.nii.gz", "12")]
    assert middle.exit_message is None


# --- heat maps


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"explain": "lime"},
            r"--explain: there is no method 'lime'\. Valid are none, gradcam, gradcam\+\+, occlusion",
        ),
        ({"explain_layer": "layer4"}, r"no layer 'layer4'\. Did you mean 'encoder\.layer4'.* Valid are encoder, "),
        ({"explain_class": "oedema"}, "no class 'oedema': valid are glioma, meningioma, pituitary, no_tumor"),
        ({"explain_head": "box"}, "no head 'box': valid are class, mask"),
    ],
)
def test_what_cannot_be_explained_is_told_with_what_can(tmp_path, ckpt_dir, settings, message):
    image, _ = byte_slice(64, 64)
    Image.fromarray(image).save(tmp_path / "a.png")
    with told(message):
        predict(tmp_path / "a.png", tmp_path / "out", ckpt_dir, **settings)


def test_maps_change_neither_classes_nor_masks_and_can_be_left_out(tmp_path, ckpt_dir):
    image, _ = byte_slice(70, 90)
    Image.fromarray(image).save(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with_maps = predict(tmp_path, tmp_path / "out1", ckpt_dir)
    without = predict(tmp_path, tmp_path / "out2", ckpt_dir, explain="none")
    of_mask = predict(tmp_path / "a.png", tmp_path / "out3", ckpt_dir, explain="gradcam++", explain_head="mask")
    widths = [Image.open(run.folder / "overlays" / "a.png").width for run in (with_maps, without, of_mask)]
    assert widths[0] == widths[2] > widths[1]
    assert [row["error"] == "" for row in with_maps.rows] == [True, False]
    for run in (without, of_mask):
        for name in (f"p_{c}" for c in CLASS_NAMES):
            assert float(run.row("a.png")[name]) == pytest.approx(float(with_maps.row("a.png")[name]), abs=1e-5)
        assert run.row("a.png")["area_px"] == with_maps.row("a.png")["area_px"]
    assert "gradcam" in (with_maps.folder / "report.html").read_text(encoding="utf-8")


def test_a_calibration_is_not_asked_for_where_no_checkpoint_is_loaded(tmp_path):
    image, _ = byte_slice(64, 64)
    Image.fromarray(image).save(tmp_path / "a.png")
    (tmp_path / "calibration.json").write_text("broken")
    run = predict(tmp_path / "a.png", tmp_path / "out", tmp_path, load_pretrain=False)
    assert not run.row("a.png")["error"]
