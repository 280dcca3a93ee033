"""Probes on other data, against what the masks and predictions themselves say."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from braintumor_ext import Predictor
from braintumor_ext.errors import InputError
from braintumor_ext.transforms import read_slice
from studies.external_validation import __main__ as external_probes
from studies.external_validation import validate_images
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import square_slice
from tests.studies.conftest import read

SIZE = 64


@pytest.fixture(scope="module")
def predictor(example_models: Path) -> Predictor:
    """Of the example models, whose masks outline bright squares."""
    return Predictor.from_bundle(REPOSITORY, example_models / "model.pt", "cpu")


def write_volume(path: Path, slices: list[np.ndarray]) -> None:
    """Write slices, as a person sees them, as a NIfTI volume in RAS."""
    stored = np.stack([np.asarray(s, dtype=np.float32).T[::-1, ::-1] for s in slices], -1)
    nibabel.Nifti1Image(stored, np.diag([0.5, 2.0, 5.0, 1.0])).to_filename(path)


@pytest.fixture(scope="module")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as the probes' own: volumes with squares for tumours, and slices without any."""
    folder = tmp_path_factory.mktemp("other")
    volumes, healthy = folder / "nifti-glioblastoma", folder / "dicom-head"
    volumes.mkdir()
    healthy.mkdir()
    for number in range(2):
        pairs = [square_slice(top=0.1 + 0.1 * k, left=0.6 - 0.1 * k, seed=10 * number + k) for k in range(3)]
        plain, _ = square_slice(side=0.0, seed=50 + number)
        nothing = [np.zeros((SIZE, SIZE), dtype=bool)]
        images = [image for image, _ in pairs] + [plain] + nothing * number  # the second one ends with a blank slice
        write_volume(volumes / f"case{number}.nii.gz", images)
        masks = [mask for _, mask in pairs] + nothing + nothing * number
        write_volume(volumes / f"case{number}_mask.nii.gz", masks)
    for number in range(3):
        image, _ = square_slice(side=0.25 if number == 0 else 0.0, seed=90 + number)
        Image.fromarray((image * 255).astype(np.uint8)).save(healthy / f"{number}.png")
    return folder


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_tumour_slices_are_those_with_a_mask_and_their_scores_are_the_masks_own(predictor, other_data):
    folder = other_data / "nifti-glioblastoma"
    summary = validate_images(predictor, folder, masks=folder).summary()
    assert (summary["slices"], summary["files"], summary["mask_unknown"], summary["failed"]) == (8, 2, 0, {})
    assert summary["blank"] == 1
    scores, called, overlapping = [], [], []
    for case in ("case0", "case1"):
        for k in range(3):
            prediction = predictor(folder / f"{case}.nii.gz", slice_index=k)
            true = read_slice(folder / f"{case}_mask.nii.gz", k).numpy()[0] > 0
            scores.append(dice(prediction.mask, true))
            called.append(prediction.label != "no_tumor")
            overlapping.append((prediction.mask & true).any())
    found = summary["tumour_slices"]
    assert found["n"] == 6
    assert found["called_tumour"]["count"] == sum(called)
    assert found["mask_overlaps"]["raw"]["count"] == sum(overlapping) > 0
    assert found["mask_overlaps"]["gated"]["count"] == sum(a and b for a, b in zip(overlapping, called, strict=True))
    assert found["dice"]["raw"]["mean"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert found["dice"]["raw"]["mean"] > 0.5  # the masks are where the squares are, not transposed
    assert found["dice"]["gated"]["mean"] == pytest.approx(np.mean(np.where(called, scores, 0)), abs=1e-6)
    assert summary["slices_without_tumour"]["n"] == 2
    assert summary["per_file"]["case0.nii.gz"]["dice"]["raw"]["mean"] == pytest.approx(np.mean(scores[:3]), abs=1e-6)


def test_false_masks_and_false_classes_of_healthy_slices_are_counted(predictor, other_data):
    folder = other_data / "dicom-head"
    probe = validate_images(predictor, folder, healthy=True, name="head")
    predictions = predictor(sorted(folder.iterdir()))
    found = probe.summary()["slices_without_tumour"]
    raw = [bool(prediction.mask.any()) for prediction in predictions]
    called = [prediction.label == "no_tumor" for prediction in predictions]
    assert raw[0]  # the square of the first one
    assert probe.summary()["tumour_slices"] is None
    assert (found["n"], found["called_without_tumour"]["count"]) == (3, sum(called))
    assert found["any_pixel"]["raw"]["count"] == sum(raw)
    gated = [mask and not empty for mask, empty in zip(raw, called, strict=True)]
    assert found["any_pixel"]["gated"]["count"] == sum(gated)
    assert found["largest_area_px"] == max(int(prediction.mask.sum()) for prediction in predictions)
    flags = probe.summary()["flags"]
    assert sum(flags.values()) == sum(len(prediction.flags) for prediction in predictions)


def test_gating_removes_the_masks_of_slices_called_without_tumour(predictor, other_data, monkeypatch):
    label = predictor(other_data / "dicom-head" / "0.png").label
    monkeypatch.setattr(predictor.postprocessor, "classes", replace(predictor.classes, empty=label))
    found = validate_images(predictor, other_data / "dicom-head" / "0.png", healthy=True).summary()
    assert found["slices_without_tumour"]["any_pixel"]["raw"]["count"] == 1
    assert found["slices_without_tumour"]["any_pixel"]["gated"]["count"] == 0
    assert found["slices_without_tumour"]["called_without_tumour"]["count"] == 1


def test_one_bad_slice_or_mask_costs_its_own_row(predictor, other_data, tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder in (images, masks):
        (folder / "deep").mkdir(parents=True)
    picture, square = square_slice()
    for name in ("known", "unknown", "misfit"):
        Image.fromarray((picture * 255).astype(np.uint8)).save(images / "deep" / f"{name}.png")
    Image.fromarray(np.full((SIZE, SIZE), 7, dtype=np.uint8)).save(images / "constant.png")
    (images / "broken.png").write_bytes(b"\x89PNG and no more")
    Image.fromarray(square).save(masks / "deep" / "known.png")
    Image.fromarray(square[:-3]).save(masks / "deep" / "misfit_mask.png")
    probe = validate_images(predictor, images, masks)
    assert sorted(probe.failed) == ["broken.png", "constant.png", "deep/misfit.png"]
    assert "constant image" in probe.failed["constant.png"]
    assert "is 64x61, but its image is 64x64" in probe.failed["deep/misfit.png"]
    assert [(record.image, record.mask_known) for record in probe.records] == [
        ("deep/known.png", True),
        ("deep/unknown.png", False),
    ]
    summary = probe.summary()
    assert (summary["mask_unknown"], summary["tumour_slices"]["n"], summary["slices_without_tumour"]) == (1, 1, None)


def test_masks_of_healthy_slices_are_refused(predictor, other_data):
    with pytest.raises(InputError, match="masks are given of slices that are said to be healthy"):
        validate_images(predictor, other_data / "dicom-head", masks=other_data / "dicom-head", healthy=True)


def test_the_command_reports_both_probes(example_models, other_data, tmp_path):
    arguments = ["--checkpoint_dir", str(example_models), "--output", str(tmp_path / "out"), "--device", "cpu"]
    assert external_probes.main(["--data", str(other_data), *arguments]) == 0
    content = read(tmp_path / "out" / "probes.json")
    assert set(content["probes"]) == {"dicom-head", "nifti-glioblastoma"}
    assert content["context"]["checkpoint"] == "model.pt"
    text = (tmp_path / "out" / "probes.md").read_text()
    assert str(other_data) not in text
    found = content["probes"]["nifti-glioblastoma"]["tumour_slices"]
    assert f"| {found['called_tumour']['count']} of 6 (" in text
    for name, count in (("dicom-head", 3), ("nifti-glioblastoma", 8)):
        assert len((tmp_path / "out" / f"{name}.csv").read_text().splitlines()) == count + 1
        with Image.open(tmp_path / "out" / f"{name}.png") as sheet:
            assert sheet.width == 560 * min(count, 4)


def test_the_command_probes_own_data_and_tells_of_bad_slices(example_models, other_data, tmp_path, capsys):
    images = tmp_path / "mine"
    shutil.copytree(other_data / "dicom-head", images)
    (images / "broken.png").write_bytes(b"\x89PNG and no more")
    arguments = ["--checkpoint_dir", str(example_models), "--output", str(tmp_path / "out"), "--device", "cpu"]
    assert external_probes.main(["--images", str(images), "--healthy", "--name", "ward 3", *arguments]) == 1
    assert "1 slice(s) could not be judged" in capsys.readouterr().err
    assert read(tmp_path / "out" / "probes.json")["probes"]["ward 3"]["slices"] == 3
    assert external_probes.main(["--data", str(images), *arguments]) == 2
    assert "Give a folder that holds dicom-head and nifti-glioblastoma" in capsys.readouterr().err
