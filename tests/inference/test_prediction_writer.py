"""What the writer leaves behind."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader
from monai.transforms import Compose, Resized
from PIL import Image

from braintumor_ext.calibration import Calibration
from braintumor_ext.classes import CLASSES
from braintumor_ext.errors import InputError
from braintumor_ext.inference import (
    Postprocessor,
    PredictionWriter,
    TolerantDataset,
    collate_slices,
    list_inputs,
    tolerant_dataset,
)
from braintumor_ext.inference.mask_files import MaskFiles
from braintumor_ext.transforms import LoadImageSliced, ToUnitGreyd, read_slice
from braintumor_ext.visualize import predicted_slice
from tests.inference.writing import (
    LOGITS,
    SIZE,
    block,
    bright,
    overlap,
    run,
    table,
    volume_mask,
    with_heat,
    write_volume,
)


@pytest.mark.parametrize("bad", [(3,), (0,), (1, 2), ()], ids=["last", "first", "middle", "none"])
def test_a_failed_slice_leaves_the_masks_of_the_others_in_the_file(tmp_path, bad):
    wanted = write_volume(tmp_path / "v.nii.gz", bad=bad)
    run(tmp_path / "v.nii.gz", tmp_path / "out", "all")
    rows = table(tmp_path / "out")
    assert [bool(row["error"]) for row in rows] == [index in bad for index in range(4)]
    found = volume_mask(tmp_path / "out" / "masks" / "v.nii.gz")
    for index, row in enumerate(rows):
        assert row["mask"] == ("" if index in bad else "masks/v.nii.gz")
        assert row["area_px"] == ("" if index in bad else str(found[:, :, index].sum()))
        assert index in bad or overlap(found[:, :, index], wanted[:, :, index]) > 0.85


def test_a_volume_whose_slices_all_failed_has_no_mask(tmp_path):
    write_volume(tmp_path / "v.nii.gz", bad=(0, 1, 2, 3))
    run(tmp_path / "v.nii.gz", tmp_path / "out", "all")
    assert all(row["error"] and not row["mask"] for row in table(tmp_path / "out"))
    assert not (tmp_path / "out" / "masks").exists()


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_volumes_and_pictures_between_them_each_get_their_own_mask(tmp_path, batch_size):
    folder = tmp_path / "in"
    folder.mkdir()
    first, second = write_volume(folder / "a.nii.gz", 4, bad=(3,)), write_volume(folder / "c.nii.gz", 2)
    Image.fromarray(block()).save(folder / "b.png")
    frames = [Image.fromarray(block()), Image.fromarray(np.rot90(block()).copy().reshape(40, 48))]
    frames[0].save(folder / "d.tif", save_all=True, append_images=frames[1:])
    run(folder, tmp_path / "out", "all", batch_size)
    rows = table(tmp_path / "out")
    assert [(row["file"], row["slice"]) for row in rows] == [
        *(("a.nii.gz", str(index)) for index in range(4)),
        ("b.png", ""),
        *((("c.nii.gz"), str(index)) for index in range(2)),
        *((("d.tif"), str(index)) for index in range(2)),
    ]
    assert overlap(volume_mask(tmp_path / "out" / "masks" / "a.nii.gz"), first) > 0.85
    assert overlap(volume_mask(tmp_path / "out" / "masks" / "c.nii.gz"), second) > 0.85
    for row in rows:
        assert not row["mask"] or (tmp_path / "out" / row["mask"]).is_file()
    assert rows[-1]["mask"] == "masks/d.tif"
    assert Image.open(tmp_path / "out" / "masks" / "d.tif").n_frames == 2


def test_a_volume_is_written_and_let_go_when_the_next_file_begins(tmp_path):
    write_volume(tmp_path / "a.nii.gz")
    write_volume(tmp_path / "b.nii.gz")
    files = MaskFiles(tmp_path / "masks")
    mask, rows = np.ones((40, 48), dtype=bool), [{}, {}, {}]
    for row, (name, index) in zip(rows, [("a", 0), ("a", 2), ("b", 1)], strict=True):
        meta = read_slice(tmp_path / f"{name}.nii.gz", index).meta
        shown = mask if tuple(meta["slice_size"]) == mask.shape else mask.T
        files.add(row, {"name": name, "stem": name, "slice": index}, shown, meta)
        assert (tmp_path / "masks" / "a.nii.gz").exists() == (name == "b")
    assert [row.get("mask") for row in rows] == ["masks/a.nii.gz", "masks/a.nii.gz", None]
    files.close()
    files.close()  # nothing left to do
    assert rows[2]["mask"] == "masks/b.nii.gz"
    assert volume_mask(tmp_path / "masks" / "a.nii.gz").any(axis=(0, 1)).tolist() == [True, False, True, False]


class Stop(Exception):
    """Something that goes wrong in the middle of a run."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Stop])
def test_a_run_that_breaks_off_leaves_its_rows_so_far_and_still_fails(tmp_path, kind):
    wanted = write_volume(tmp_path / "v.nii.gz", slices=6)

    def stop(engine: Engine) -> None:
        raise kind

    with pytest.raises(kind):
        run(tmp_path / "v.nii.gz", tmp_path / "out", "all", batch_size=2, hook=stop)
    rows = table(tmp_path / "out")
    assert [row["slice"] for row in rows] == ["0", "1", "2", "3"]
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]) == 4
    found = volume_mask(tmp_path / "out" / "masks" / "v.nii.gz")
    assert overlap(found[:, :, :4], wanted[:, :, :4]) > 0.85
    assert not found[:, :, 4:].any()


def test_what_cannot_be_written_is_told_in_its_row_and_the_rest_goes_on(tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    (output / "masks").write_text("a file where a folder is wanted")
    Image.fromarray(block()).save(folder / "a.png")
    write_volume(folder / "v.nii.gz", 2)
    writer = run(folder, output, "all")
    rows = table(output)
    assert len(rows) == 3
    for row in rows:
        assert "could not be written" in row["error"]
        assert "--output_dir" in row["error"]
        assert row["class"] == "glioma"
        assert row["mask"] == ""
    with pytest.raises(SystemExit, match="3 of 3"):
        writer.finish()


def test_json_and_csv_agree_and_the_unknown_is_blank_or_null(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(block()).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"")
    run(folder, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert content["class_names"] == ["glioma", "meningioma", "pituitary", "no_tumor"]
    for in_json, in_csv in zip(content["predictions"], table(tmp_path / "out"), strict=True):
        assert {k: "" if v is None else str(v) for k, v in in_json.items()} == in_csv
    good, bad = content["predictions"]
    assert abs(good["area_px"] - 12 * 16) < 30
    assert good["area_mm2"] is None  # a picture knows no millimetres
    assert [bad[key] for key in ("class", "p_glioma", "area_px", "mask", "overlay")] == [None] * 5
    expected = torch.softmax(LOGITS.double(), 0).tolist()
    shares = [good[f"p_{name}"] for name in content["class_names"]]
    assert shares == pytest.approx(expected, abs=1e-6)


def test_flags_tell_of_small_inputs_and_of_contradictions(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(block(31, 60)).save(folder / "small.png")
    Image.fromarray(block(32, 32)).save(folder / "fits.png")
    dark = block() // 2
    dark[8:20, 24:40] = 50
    Image.fromarray(dark).save(folder / "empty.png")
    run(folder, tmp_path / "agree")
    assert {row["file"]: row["flags"] for row in table(tmp_path / "agree")} == {
        "small.png": "upscaled",
        "fits.png": "",
        "empty.png": "",
    }
    run(folder, tmp_path / "contradict", classes=replace(CLASSES, empty="glioma"))
    assert {row["file"]: row["flags"] for row in table(tmp_path / "contradict")} == {
        "small.png": "upscaled; class and mask disagree",
        "fits.png": "class and mask disagree",
        "empty.png": "class and mask disagree",
    }
    run(folder, tmp_path / "no empty class", classes=replace(CLASSES, empty=None))
    assert {row["flags"] for row in table(tmp_path / "no empty class")} == {"upscaled", ""}


def test_overlays_can_be_left_out(tmp_path):
    Image.fromarray(block()).save(tmp_path / "a.png")
    run(tmp_path / "a.png", tmp_path / "out", overlays="false")
    assert table(tmp_path / "out")[0]["overlay"] == ""
    assert not (tmp_path / "out" / "overlays").exists()


def test_a_clean_run_ends_without_an_exit_code_and_a_failure_is_named(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(block()).save(folder / "a.png")
    run(folder, tmp_path / "clean").finish()
    (folder / "b.png").write_bytes(b"")
    writer = run(folder, tmp_path / "failed")
    with pytest.raises(SystemExit, match=r"1 of 2 inputs could not be predicted:\n  b\.png: is empty"):
        writer.finish()


def test_rows_do_not_pile_up_over_two_runs_of_one_engine(tmp_path):
    Image.fromarray(block()).save(tmp_path / "a.png")
    data = list_inputs(tmp_path / "a.png")
    writer = PredictionWriter(tmp_path / "out", data, image_size=SIZE)
    postprocessor = Postprocessor(image_size=SIZE)
    engine = Engine(lambda _, batch: postprocessor({**batch, "pred": bright(batch["image"])}))
    writer.attach(engine)
    chain = [LoadImageSliced("image"), ToUnitGreyd("image"), Resized("image", spatial_size=(SIZE, SIZE))]
    for _ in range(2):
        engine.run(DataLoader(TolerantDataset(data, Compose(chain)), batch_size=1, collate_fn=collate_slices))
    assert len(table(tmp_path / "out")) == 1
    assert len(list((tmp_path / "out").glob("predictions.*.csv"))) == 1


def test_the_heat_map_is_drawn_where_it_belongs(tmp_path):
    Image.fromarray(np.full((256, 300), 100, dtype=np.uint8) + np.eye(256, 300, dtype=np.uint8)).save(
        tmp_path / "a.png"
    )
    run(tmp_path / "a.png", tmp_path / "out", network=with_heat, overlays=True)
    run(tmp_path / "a.png", tmp_path / "plain")
    hot, plain = (np.asarray(Image.open(tmp_path / d / "overlays" / "a.png")).astype(int) for d in ("out", "plain"))
    assert hot.shape[1] > plain.shape[1] + 300  # a panel of the slice's own width more
    colourful = (hot.max(axis=2) - hot.min(axis=2))[60:200].mean(axis=0) > 20
    columns = np.flatnonzero(colourful)
    third = columns[(columns > 600) & (columns < 960)]
    assert len(third) > 60
    assert third.min() > 700  # its left side is cold


def test_flags_of_the_heat_map_stand_in_the_row(tmp_path):
    Image.fromarray(block()).save(tmp_path / "a.png")
    run(tmp_path / "a.png", tmp_path / "out", network=with_heat)
    assert table(tmp_path / "out")[0]["flags"] == "constant heat map"


def test_the_report_holds_every_row_and_its_picture(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(block()).save(folder / f"{name}.png")
    (folder / "bad.png").write_bytes(b"nothing")
    run(
        folder,
        tmp_path / "out",
        network=with_heat,
        context={"checkpoint": "models/model.pt", "explained_by": "gradcam"},
    )
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for text in ("a.png", "b.png", "c.png", "bad.png", "not calibrated", "gradcam", "explained by"):
        assert text in page
    assert page.count("/9j/") == 3  # how a JPEG begins in base64


def test_the_report_and_the_overlays_can_each_be_left_out(tmp_path):
    Image.fromarray(block()).save(tmp_path / "a.png")
    run(tmp_path / "a.png", tmp_path / "out", report="false", overlays="false")
    assert not (tmp_path / "out" / "report.html").exists()
    run(tmp_path / "a.png", tmp_path / "other", overlays="false")
    assert (tmp_path / "other" / "report.html").is_file()


def test_an_earlier_report_is_kept(tmp_path):
    Image.fromarray(block()).save(tmp_path / "a.png")
    for _ in range(2):
        run(tmp_path / "a.png", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("report*.html"))) == 2


def test_a_calibration_changes_probabilities_flags_and_what_the_table_says(tmp_path):
    calibration = Calibration(
        temperature=2.0,
        confidence_threshold=0.9,
        confidence_target=0.95,
        detector=None,
        checkpoint="model.pt",
        sha256="0" * 64,
        class_names=("glioma", "meningioma", "pituitary", "no_tumor"),
        image_size=SIZE,
        fitted_on="validation",
        slices=10,
        groups=5,
        date="2026-01-01",
    )
    Image.fromarray(block()).save(tmp_path / "a.png")
    run(tmp_path / "a.png", tmp_path / "out", calibration=calibration)
    row = table(tmp_path / "out")[0]
    expected = torch.softmax(LOGITS.double() / 2, 0)
    assert [float(row[f"p_{name}"]) for name in calibration.class_names] == pytest.approx(expected.tolist(), abs=1e-6)
    assert row["flags"] == "low confidence"
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert content["calibration"] == str(calibration)
    run(tmp_path / "a.png", tmp_path / "plain")
    assert "not calibrated" in json.loads((tmp_path / "plain" / "predictions.json").read_text())["calibration"]


@pytest.mark.parametrize("float32_pixels", [tolerant_dataset.FLOAT32_PIXELS, 1])
def test_a_file_is_read_once(tmp_path, float32_pixels, monkeypatch):
    """Gone once the batch was read, it cannot be read again."""
    monkeypatch.setattr(tolerant_dataset, "FLOAT32_PIXELS", float32_pixels)
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(block()).save(folder / "a.png")

    def predict(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        (folder / "a.png").unlink()
        return bright(batch)

    run(folder, tmp_path / "out", network=predict)
    row = table(tmp_path / "out")[0]
    assert (row["class"], row["error"]) == ("glioma", "")
    assert (tmp_path / "out" / "overlays" / "a.png").exists()


def test_overlays_of_large_slices_are_those_of_small_ones(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(block()).save(folder / "a.png")
    write_volume(folder / "v.nii.gz", 2)
    for name, pixels in (("small", 10_000), ("large", 1)):
        monkeypatch.setattr(tolerant_dataset, "FLOAT32_PIXELS", pixels)
        run(folder, tmp_path / name, "all", network=with_heat)
    drawn = sorted(path.name for path in (tmp_path / "small" / "overlays").iterdir())
    assert drawn == ["a.png", "v_slice000.png", "v_slice001.png"]
    for name in drawn:
        first, second = (np.asarray(Image.open(tmp_path / kept / "overlays" / name)) for kept in ("small", "large"))
        assert np.abs(first.astype(int) - second).max() <= 1  # a level's rounding


ODD = [b"sc\xffan.png", b"two\nlines.png", b"=1+1.png", "ü脳.png".encode(), b"-minus.png"]
"""Names that a Linux file may have."""


def test_a_name_that_is_no_text_a_line_break_and_a_formula_cost_nothing(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ODD:
        Image.fromarray(block()).save(folder / "a.png")
        (folder / "a.png").rename(folder / os.fsdecode(name))
    run(folder, tmp_path / "out", network=with_heat)
    rows = table(tmp_path / "out")
    shown = {row["file"] for row in rows}
    assert shown == {r"sc\xffan.png", r"two\nlines.png", "'=1+1.png", "ü脳.png", "'-minus.png"}
    assert len((tmp_path / "out" / "predictions.csv").read_bytes().splitlines()) == 1 + len(ODD)
    for row in rows:
        assert row["error"] == ""
        for kind in ("mask", "overlay"):
            assert row[kind].isprintable()
            assert (tmp_path / "out" / row[kind]).is_file()
    content = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert {os.fsencode(row["file"]) for row in content["predictions"]} == set(ODD)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("/9j/") == len(ODD)
    assert r"two\nlines.png" in page


def test_whatever_goes_wrong_with_a_prediction_is_told_in_its_row(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "ab":
        Image.fromarray(block()).save(folder / f"{name}.png")
    draw = predicted_slice.render_thumbnail

    def fail_once(image: np.ndarray, *rest: Any) -> bytes:
        if image.max() > 0.99:
            raise ZeroDivisionError("no picture\nof this")
        return draw(image, *rest)

    bright_picture = block()
    bright_picture[0, 0] = 255
    Image.fromarray(bright_picture).save(folder / "b.png")
    monkeypatch.setattr(predicted_slice, "render_thumbnail", fail_once)
    run(folder, tmp_path / "out")
    first, second = table(tmp_path / "out")
    assert first["error"] == ""
    assert "ZeroDivisionError: no picture)" in second["error"]
    assert second["class"] == "glioma"
    assert second["mask"] == "masks/b.png"

    def no_mask(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"class": bright(batch)["class"], "mask": torch.zeros(0)}

    run(folder, tmp_path / "none", network=no_mask)
    assert [bool(row["error"]) for row in table(tmp_path / "none")] == [True, True]


def test_threads_change_nothing(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(block(40 + 37 * (number % 4), 48 + 11 * number)).save(folder / f"{number:02d}.png")
    (folder / "05b.png").write_bytes(b"")
    write_volume(folder / "07.nii.gz", 4, bad=(1,))
    for threads in (1, 5):
        run(folder, tmp_path / str(threads), "all", batch_size=5, network=with_heat, threads=threads)
    written = []
    for name in ("1", "5"):
        files = (path for path in (tmp_path / name).rglob("*") if path.is_file() and path.suffix != ".gz")  # dated
        written.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert written[0].keys() == written[1].keys()
    assert len(written[0]) > 2 * 12
    for path, data in written[0].items():
        assert data == written[1][path], path


def test_a_full_disk_ends_the_run_with_the_rows_so_far_and_the_remedy(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(40):
        Image.fromarray(block()).save(folder / f"{number:02d}.png")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(engine: Engine) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, before[1]))  # no file can grow beyond

    try:
        with pytest.raises(InputError, match=r"predictions\.csv: cannot be added to .* --resume true"):
            run(folder, tmp_path / "out", report=False, hook=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    rows = table(tmp_path / "out")
    assert 5 < len(rows) < 40
    assert [row["file"] for row in rows] == [f"{number:02d}.png" for number in range(len(rows))]
    assert all((tmp_path / "out" / row["mask"]).is_file() for row in rows)
    assert all("could not be written" in row["error"] for row in rows[6:])  # the overlays of what came afterwards
    assert (tmp_path / "out" / "predictions.csv").read_bytes().endswith(b"\r\n")


@pytest.mark.parametrize("head", ["class", "mask"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_prediction_that_is_not_finite_is_an_error_and_the_others_are_predicted(tmp_path, head, value):
    for name in ("a", "b", "c"):
        Image.fromarray(block()).save(tmp_path / f"{name}.png")

    def broken(batch):
        output = bright(batch)
        output[head][1].flatten()[0] = value  # the second slice of the batch
        return output

    run(tmp_path, tmp_path / "out", network=broken)
    rows = table(tmp_path / "out")
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert f"not finite ({head})" in rows[1]["error"]
    assert rows[1]["class"] == rows[1]["mask"] == ""
