"""The bundle's inference by two processes that torchrun starts."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from braintumor_ext.reporting.html_report import read_pictures
from tests.bundle.test_distributed import options, torchrun
from tests.conftest import REPOSITORY
from tests.inference.bright_square_model import SIZE, square_slice
from tests.inference.conftest import Prediction, predict
from tests.one_slice import shown_slice, write_series

pytestmark = pytest.mark.slow

PICTURES, VOLUME, SERIES = 9, 4, 3
SLICES = PICTURES + VOLUME + SERIES + 1
SETTINGS = {"batch_size": 2, "slices": "all", "output_format": "dicom_seg"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, a broken one, a series whose files lie among them, and a volume."""
    folder = tmp_path_factory.mktemp("inputs")
    for number in range(PICTURES):
        grey, _ = square_slice(70, 80, left=0.1 + 0.05 * number, seed=number)
        Image.fromarray(np.round(grey * 255).astype(np.uint8)).save(folder / f"p{number}.png")
    (folder / "p3 broken.png").write_bytes(b"nothing")
    slices = [np.roll(shown_slice(), 3 * number, axis=0) for number in range(SERIES)]
    write_series(folder, slices, names=["a.dcm", "p5.dcm", "z.dcm"])
    volume = np.stack([square_slice(66, 74, top=0.1 * number, seed=number)[0] for number in range(VOLUME)], axis=2)
    nibabel.save(nibabel.Nifti1Image(volume * 3000, np.diag([0.9, 0.8, 6.0, 1.0])), folder / "v.nii.gz")
    return folder


@pytest.fixture(scope="module")
def by_one(inputs: Path, ckpt_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    """What one process gives."""
    return predict(inputs, tmp_path_factory.mktemp("one") / "out", ckpt_dir, **SETTINGS)


def predict_by_two(inputs: Path, output: Path, ckpt_dir: Path, *overlays: Path) -> subprocess.CompletedProcess[str]:
    """Predict by two processes; they fail, as one input is broken."""
    configs = [REPOSITORY / "configs" / f"{name}.json" for name in ("inference", "multi_gpu_inference")]
    return torchrun(
        *("--config_file", str([str(path) for path in (*configs, *overlays)])),
        *("--meta_file", str(REPOSITORY / "configs" / "metadata.json")),
        *("--logging_file", str(REPOSITORY / "configs" / "logging.conf")),
        *options(bundle_root=REPOSITORY, dataset_dir=inputs, output_dir=output, ckpt_dir=ckpt_dir, image_size=SIZE),
        *options(**SETTINGS),
        fails=True,
    )


def assert_same(found: Prediction, wanted: Prediction) -> None:
    """Rows, probabilities, masks, heat maps and the report are the same but for the rounding of another batch."""
    assert [(row["file"], row["slice"]) for row in found.json_rows] == [
        (row["file"], row["slice"]) for row in wanted.json_rows
    ]
    for one, other in zip(found.json_rows, wanted.json_rows, strict=True):
        assert one == {name: pytest.approx(v, abs=1e-5) if name[:2] == "p_" else v for name, v in other.items()}
    for one, other in zip(found.rows, wanted.rows, strict=True):
        for name in ("file", "slice", "class", "area_px", "flags", "error", "mask", "overlay"):
            assert one[name] == other[name]
    files, others = (
        {path.relative_to(run.folder).as_posix(): path for path in run.folder.rglob("*") if path.is_file()}
        for run in (found, wanted)
    )
    assert files.keys() == others.keys()
    for name, path in files.items():
        if name.startswith(("masks", "overlays")):
            one, other = (pixels(file) for file in (path, others[name]))
            assert one.shape == other.shape
            assert np.abs(one - other).max() <= (3 if name.startswith("overlays") else 0), name
    one, other = (
        [picture is not None for picture in read_pictures(run.folder / "report.html")] for run in (found, wanted)
    )
    assert one == other


def pixels(path: Path) -> np.ndarray:
    if path.suffix == ".dcm":
        return pydicom.dcmread(path).pixel_array.astype(np.int16)
    if path.suffix == ".gz":
        return np.asarray(nibabel.load(path).dataobj).astype(np.int16)
    return np.asarray(Image.open(path)).astype(np.int16)


def test_two_processes_leave_what_one_leaves_and_tell_it_once(inputs, by_one, ckpt_dir, tmp_path):
    told = predict_by_two(inputs, tmp_path / "out", ckpt_dir)
    assert (tmp_path / "out" / "predictions.json").is_file(), told.stderr[-4000:]
    assert len(by_one.rows) == SLICES
    assert_same(Prediction(tmp_path / "out", None), by_one)
    lines = re.split(r"[\r\n]+", told.stdout + told.stderr)
    assert sum(f"{SLICES} slices: " in line for line in lines) == 1
    assert sum(f"1 of {SLICES} inputs could not be predicted" in line for line in lines) == 1
    bars = [line for line in lines if "Predicting" in line]
    assert bars
    assert all(line.lstrip().startswith("Predicting, process 0 of 2") for line in bars)


def test_one_process_goes_on_after_a_kill_of_two(inputs, by_one, ckpt_dir, tmp_path):
    output, overlay = tmp_path / "out", tmp_path / "killed.json"
    tables = [output / name for name in ("predictions.csv", "predictions.part1.csv")]
    handler = {"_target_": "tests.inference.killed.Killed", "tables": [str(path) for path in tables]}
    overlay.write_text(json.dumps({"+handlers": [handler]}))
    predict_by_two(inputs, output, ckpt_dir, overlay)
    done = [row for path in tables for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
    # Pictures alone have files of their own; the series and the volume are made anew unless they were complete.
    kept = [row for row in done if row["mask"].endswith(".png")]
    assert all(any(row["file"] in path.read_text(encoding="utf-8") for row in kept) for path in tables)
    files = [output / row[name] for row in kept for name in ("mask", "overlay")]
    for path in files:
        os.utime(path, ns=(0, 0))
    assert_same(predict(inputs, output, ckpt_dir, resume="true", **SETTINGS), by_one)
    assert [path.stat().st_mtime_ns for path in files] == [0] * len(files), "no finished row is made again"
