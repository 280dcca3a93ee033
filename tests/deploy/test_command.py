"""The command line: paths, the SDK's variables, whose code runs, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage

from tests.deploy.conftest import Ran, run_app, run_command
from tests.deploy.dicom_series import rewrite, set_pixels, write_series, write_slice
from tests.deploy.predictions import assert_equal_to_predictor

pytestmark = pytest.mark.deploy

APP = ("-m", "monai_bundle.deploy_app")


@pytest.fixture
def copied_bundle(packed_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may change."""
    return Path(shutil.copytree(packed_bundle, tmp_path / "bundle of its own"))


def test_the_bundles_own_code_predicts_even_in_the_repositorys_folder(copied_bundle, predictor, tmp_path):
    """Paths come by the SDK's variables here."""
    with open(copied_bundle / "braintumor_ext" / "__init__.py", "a", encoding="utf-8") as file:
        file.write("\nprint('this is the code of', __file__)\n")
    one = write_slice(tmp_path / "one")
    variables = {"HOLOSCAN_INPUT_PATH": str(one.path.parent), "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "out")}
    process = run_command(*APP, environment={**variables, "HOLOSCAN_MODEL_PATH": str(copied_bundle)})
    assert process.returncode == 0, process.stderr
    assert f"this is the code of {copied_bundle}" in process.stdout
    ran = Ran(process, tmp_path / "out")
    assert_equal_to_predictor(ran, {one.uid: predictor(one.path)})


def test_series_are_chosen_by_their_description(packed_bundle, tmp_path):
    wanted = write_slice(tmp_path / "in" / "a", SeriesDescription="AX T1 POST GD")
    write_slice(tmp_path / "in" / "b", SeriesDescription="AX T2 FLAIR")
    write_slice(tmp_path / "in" / "c", SeriesDescription=None)
    ran = run_app(tmp_path / "in", tmp_path / "out", packed_bundle, "--series", "t1.*(gd|gad)")
    assert ran.process.returncode == 0, ran.process.stderr
    assert [row["sop_instance_uid"] for row in ran.series()["slices"]] == [wanted.uid]
    assert ran.process.stderr.count("has no description that matches 't1.*(gd|gad)'") == 2


def test_nothing_that_a_header_a_name_or_the_metadata_say_is_run(copied_bundle, tmp_path):
    text = f"$__import__('pathlib').Path('{tmp_path}/trace').touch()"
    path = copied_bundle / "configs" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "description": text, "authors": text}))
    one = write_slice(tmp_path / "in" / "a", SeriesDescription=text[:64], PatientID=text[:64], PatientName=text[:64])
    one.path.rename(one.path.with_name(f"{text.replace('/', '')}.dcm"))
    ran = run_app(tmp_path / "in", tmp_path / "out", copied_bundle)
    assert ran.process.returncode == 0, ran.process.stderr
    assert ran.series()["series_description"] == text[:64]
    settings = copied_bundle / "models" / "training.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "image_size": text}))
    ran = run_app(tmp_path / "in", tmp_path / "out 2", copied_bundle)
    assert ran.process.returncode == 1
    assert "training.json: image_size is" in ran.process.stderr
    assert not (tmp_path / "trace").exists()


def refused(folder: Path, bundle: Path, tmp_path: Path, *options: str) -> str:
    """Run the app on what it cannot predict; return its message, once nothing was written."""
    ran = run_app(folder, tmp_path / "out", bundle, *options)
    assert ran.process.returncode == 1, ran.process.stderr
    assert "Traceback" not in ran.process.stderr
    assert not any((tmp_path / "out").iterdir())
    return ran.process.stderr.partition("error: ")[2]


def test_broken_dicom_files_are_named_before_anything_is_written(packed_bundle, tmp_path):
    folder = tmp_path / "in"
    slices = write_series(folder)
    whole = slices[0].path.read_bytes()
    (folder / "cut_header.dcm").write_bytes(whole[:900])
    (folder / "cut_early").write_bytes(whole[:200])
    (folder / "text.dcm").write_text("this is no DICOM file")
    (folder / "nothing.dcm").write_bytes(b"")
    rewrite(slices[1].path, PixelSpacing=None)
    frames = write_slice(folder / "frames")
    pixels = pydicom.dcmread(frames.path).PixelData
    rewrite(frames.path, NumberOfFrames=3, PixelData=3 * pixels)
    rewrite(slices[2].path, PhotometricInterpretation="PALETTE COLOR")
    message = refused(folder, packed_bundle, tmp_path)
    for path, why in (
        (folder / "cut_header.dcm", "lacks"),
        (folder / "cut_early", "lacks SOPClassUID"),
        (folder / "text.dcm", "is no DICOM file"),
        (folder / "nothing.dcm", "is empty"),
        (slices[1].path, "PixelSpacing"),
        (slices[2].path, "PALETTE COLOR"),
        (frames.path, "3 frames"),
    ):
        (line,) = [line for line in message.splitlines() if str(path) in line]
        assert why in line
    assert "7 problem(s)" in message


def test_pixels_that_cannot_be_decoded_are_named(packed_bundle, tmp_path):
    slices = write_series(tmp_path / "in")
    slices[3].path.write_bytes(slices[3].path.read_bytes()[:-500])
    message = refused(tmp_path / "in", packed_bundle, tmp_path)
    assert message.startswith(f"{slices[3].path}: holds ")
    assert "bytes of pixels where its header needs" in message


def test_a_folder_without_mr_series_says_what_it_holds(packed_bundle, tmp_path):
    write_series(tmp_path / "in", 2, Modality="CT", SOPClassUID=CTImageStorage, SeriesDescription="head")
    message = refused(tmp_path / "in", packed_bundle, tmp_path)
    assert message.startswith(f"{tmp_path / 'in'}: has no series to predict: series ")
    assert "(head) holds CT (CT Image Storage)" in message


def test_a_folder_without_dicom_says_so(packed_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing here")
    assert "has no DICOM file in it" in refused(tmp_path / "in", packed_bundle, tmp_path)


def test_a_series_without_any_prediction_fails_and_others_are_written(packed_bundle, tmp_path):
    blank, good = write_slice(tmp_path / "in" / "blank"), write_slice(tmp_path / "in" / "good")
    image = pydicom.dcmread(blank.path)
    uid = str(image.SeriesInstanceUID)
    set_pixels(image, np.full((40, 30), 7, np.int16))
    image.save_as(blank.path)
    ran = run_app(tmp_path / "in", tmp_path / "out", packed_bundle)
    assert ran.process.returncode == 1
    assert f"series {uid}: no slice has a prediction" in ran.process.stderr
    assert "Traceback" not in ran.process.stderr
    series = ran.series(uid)
    assert (series["segmentation"], series["report"], series["prediction"]["label"]) == (None, None, None)
    other = ran.series(str(pydicom.dcmread(good.path).SeriesInstanceUID))
    assert (ran.output / other["segmentation"]).is_file()


def test_weights_of_another_size_than_the_configs_are_refused(copied_bundle, tmp_path):
    config = copied_bundle / "configs" / "inference.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "image_size": 96}))
    message = refused(write_slice(tmp_path / "in").path.parent, copied_bundle, tmp_path)
    assert "was trained with image_size 64, and the bundle's configs say 96" in message


def test_outputs_are_not_overwritten(packed_bundle, tmp_path):
    one = write_slice(tmp_path / "one")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.json").write_text("{}")
    ran = run_app(one.path.parent, tmp_path / "out", packed_bundle)
    assert ran.process.returncode == 2
    assert f"{tmp_path / 'out'}: exists already and is no empty folder" in ran.process.stderr
    assert (tmp_path / "out" / "predictions.json").read_text() == "{}"


def test_what_is_no_bundle_is_refused(packed_bundle, tmp_path):
    folder = write_slice(tmp_path / "one").path.parent
    archive = packed_bundle.with_name(f"{packed_bundle.name}.zip")
    for bundle, why in (
        (archive, "is an archive. Unpack it"),
        (tmp_path / "nowhere", "no such folder"),
        (tmp_path, "is no packed bundle (it lacks configs/inference.json"),
    ):
        ran = run_app(folder, tmp_path / "out", bundle)
        assert ran.process.returncode == 2
        assert f"{bundle}: {why}" in ran.process.stderr
    assert not (tmp_path / "out").exists()


def test_a_wrong_command_line_is_told(packed_bundle, tmp_path):
    ran = run_app(tmp_path / "nowhere", tmp_path / "out", packed_bundle)
    assert ran.process.returncode == 2
    assert f"{tmp_path / 'nowhere'}: no such folder" in ran.process.stderr
    ran = run_app(tmp_path, tmp_path / "out", packed_bundle, "--series", "(")
    assert ran.process.returncode == 2
    assert "is no regular expression" in ran.process.stderr
    process = run_command(*APP)
    assert process.returncode == 2
    assert "give --input, or set HOLOSCAN_INPUT_PATH" in process.stderr
