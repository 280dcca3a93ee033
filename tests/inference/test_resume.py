"""Going on with what an earlier run has left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.inference import run_folder
from tests.conftest import REPOSITORY
from tests.inference.writing import block, run, table, volume_mask, with_heat, write_volume
from tests.one_slice import shown_slice, write_series


class Stop(Exception):
    """Something that goes wrong in the middle of a run."""


def stop(engine: Engine) -> None:
    raise Stop


class Counting:
    """A network that counts its slices."""

    def __init__(self) -> None:
        self.slices = 0

    def __call__(self, batch: torch.Tensor) -> dict[str, Any]:
        self.slices += len(batch)
        return with_heat(batch)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Ten slices: five pictures, a broken one, and a volume of four."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abcxy":
        Image.fromarray(block(40 + ord(name) % 7)).save(folder / f"{name}.png")
    (folder / "d.png").write_bytes(b"nothing")
    write_volume(folder / "v.nii.gz", 4)
    return folder


def predict(inputs: Path, output: Path, resume: bool | str = True, **settings: Any) -> int:
    """Run in batches of two, report and heat maps included; return the number of slices that were predicted."""
    network = Counting()
    writer = run(inputs, output, "all", batch_size=2, network=network, resume=resume, **settings)
    if not network.slices:
        writer.finish()
    return network.slices


def interrupted(inputs: Path, output: Path, **settings: Any) -> None:
    """Run until the second batch, whose predictions are still taken."""
    with pytest.raises(Stop):
        predict(inputs, output, hook=stop, **settings)


def contents(output: Path) -> dict[str, Any]:
    """What a run has left, but for times that stand in compressed files and how a PNG's pixels are compressed."""
    files = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}

    def content(path: Path) -> Any:
        if path.name.endswith(".nii.gz"):
            return volume_mask(path).tolist()
        if path.suffix == ".png":  # isal may deflate the same pixels to other bytes
            with Image.open(path) as picture:
                return picture.mode, picture.size, picture.tobytes()
        return path.read_bytes()

    return {name: content(path) for name, path in files.items() if name != ".lock"}


def test_a_run_that_goes_on_leaves_what_one_that_ran_through_leaves(inputs, tmp_path):
    assert predict(inputs, tmp_path / "through", resume=False) == 10
    interrupted(inputs, tmp_path / "out")
    assert len(table(tmp_path / "out")) == 4
    assert predict(inputs, tmp_path / "out", resume="true") == 7, "all but three: the broken one is tried again"
    assert contents(tmp_path / "out") == contents(tmp_path / "through")


def test_what_is_there_is_not_made_again(inputs, tmp_path):
    interrupted(inputs, tmp_path / "out")
    there = [*(tmp_path / "out" / "masks").iterdir(), *(tmp_path / "out" / "overlays").iterdir()]
    for path in there:
        os.utime(path, ns=(0, 0))
    predict(inputs, tmp_path / "out")
    assert len(there) == 6
    assert all(path.stat().st_mtime_ns == 0 for path in there)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from tests.inference.writing import run, with_heat

calls = []

def network(batch):
    calls.append(len(batch))
    time.sleep(0.5 * (len(calls) == 3))  # until the predictions before are drawn
    if len(calls) == 4:
        os.kill(os.getpid(), int(sys.argv[3]))
        time.sleep(5)
    return with_heat(batch)

run(Path(sys.argv[1]), Path(sys.argv[2]), "all", batch_size=2, network=network)
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_leaves_a_table_that_a_run_goes_on_with(inputs, tmp_path, kind):
    predict(inputs, tmp_path / "through", resume=False)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(inputs), str(tmp_path / "out"), str(int(kind))]
    killed = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert killed.returncode == -kind, killed.stderr
    rows = table(tmp_path / "out")
    assert [row["file"] for row in rows] == ["a.png", "b.png", "c.png", "d.png", *["v.nii.gz"] * 2][: len(rows)]
    assert len(rows) > 0
    assert not (tmp_path / "out" / "predictions.json").exists()
    with open(tmp_path / "out" / "predictions.csv", "ab") as file:
        file.write(b"x.png,,glio")  # as if it had come in the middle of a line
    (tmp_path / "out" / ".predictions.csv.4711.partial").write_bytes(b"half")  # or of writing the table anew
    assert predict(inputs, tmp_path / "out") == 10 - sum(not row["error"] for row in rows)
    assert contents(tmp_path / "out") == contents(tmp_path / "through")


def test_nothing_is_predicted_where_all_is_there(inputs, tmp_path):
    (inputs / "d.png").unlink()
    predict(inputs, tmp_path / "out", resume=False)
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "predictions.json").unlink()  # as if the kill had come at the very end
    assert predict(inputs, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == before


def test_where_nothing_is_there_a_run_starts_anew(inputs, tmp_path):
    assert predict(inputs, tmp_path / "out") == 10


def test_without_resuming_the_earlier_table_is_kept_under_another_name(inputs, tmp_path):
    interrupted(inputs, tmp_path / "out")
    assert predict(inputs, tmp_path / "out", resume="false") == 10
    assert len(list((tmp_path / "out").glob("predictions.*.csv"))) == 1


def test_inputs_that_have_changed_come_or_go_are_seen(inputs, tmp_path):
    predict(inputs, tmp_path / "out", resume=False)
    Image.fromarray(block(60, 60)).save(inputs / "a.png")
    Image.fromarray(block()).save(inputs / "new.png")
    (inputs / "b.png").unlink()
    Image.fromarray(block()).save(inputs / "d.png")
    assert predict(inputs, tmp_path / "out") == 3
    rows = table(tmp_path / "out")
    assert [row["file"] for row in rows] == ["a.png", "c.png", "d.png", "new.png", *["v.nii.gz"] * 4, "x.png", "y.png"]
    assert not any(row["error"] for row in rows)
    assert Image.open(tmp_path / "out" / "masks" / "a.png").size == (60, 60)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("/9j/") == 10, "those of the first run's report too"


@pytest.mark.parametrize("lost", ["masks/c.png", "overlays/x.png"])
def test_a_row_whose_file_is_gone_is_made_anew(lost, inputs, tmp_path):
    (inputs / "d.png").unlink()
    predict(inputs, tmp_path / "out", resume=False)
    (tmp_path / "out" / lost).unlink()
    assert predict(inputs, tmp_path / "out") == 1
    assert (tmp_path / "out" / lost).is_file()


def test_a_volume_that_was_not_complete_is_made_anew_as_a_whole(tmp_path):
    wanted = write_volume(tmp_path / "v.nii.gz", 6)
    interrupted(tmp_path / "v.nii.gz", tmp_path / "out")
    assert len(table(tmp_path / "out")) == 4
    assert predict(tmp_path / "v.nii.gz", tmp_path / "out") == 6
    found = volume_mask(tmp_path / "out" / "masks" / "v.nii.gz")
    assert found.any(axis=(0, 1)).tolist() == wanted.any(axis=(0, 1)).tolist()
    interrupted(tmp_path / "v.nii.gz", tmp_path / "png", output_format="png")
    assert predict(tmp_path / "v.nii.gz", tmp_path / "png", output_format="png") == 2, "each has a file of its own"


def test_a_volume_of_which_other_slices_are_wanted_is_made_anew(tmp_path):
    write_volume(tmp_path / "v.nii.gz", 4)
    predict(tmp_path / "v.nii.gz", tmp_path / "out", resume=False)
    writer = run(tmp_path / "v.nii.gz", tmp_path / "out", "middle", resume=True)
    assert [row["slice"] for row in table(tmp_path / "out")] == ["2"]
    assert list(writer.rows) == [0]
    assert volume_mask(tmp_path / "out" / "masks" / "v.nii.gz").any(axis=(0, 1)).tolist() == [False, False, True, False]


def test_a_series_that_was_not_complete_is_made_anew_as_a_whole(tmp_path):
    slices = [np.roll(shown_slice(), 3 * number, axis=0) for number in range(5)]
    write_series(tmp_path / "in", slices)
    settings = {"output_format": "dicom_seg", "metadata": REPOSITORY / "configs" / "metadata.json"}
    interrupted(tmp_path / "in", tmp_path / "out", **settings)
    assert len(table(tmp_path / "out")) == 4
    assert predict(tmp_path / "in", tmp_path / "out", **settings) == 5
    assert len({row["mask"] for row in table(tmp_path / "out")}) == 1
    assert predict(tmp_path / "in", tmp_path / "out", **settings) == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"made_with": {"explain": "none"}}, 'explain "gradcam", and this run has "none"'),
        ({"made_with": {}}, 'explain "gradcam", and this run has null'),
        ({"overlays": False}, "overlays true, and this run has false"),
        ({"output_format": "png"}, 'output_format null, and this run has "png"'),
        ({"context": {"checkpoint": __file__}}, "checkpoint_sha256 null, and this run has"),
    ],
)
def test_another_setting_is_refused_and_named(settings, told, inputs, tmp_path):
    usual = {"made_with": {"explain": "gradcam"}}
    interrupted(inputs, tmp_path / "out", **usual)
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        predict(inputs, tmp_path / "out", **{**usual, **settings})
    assert "--resume false" in str(caught.value)
    assert contents(tmp_path / "out") == before


def spoil(text: str) -> Callable[[Path], None]:
    return lambda output: (output / "predictions.csv").write_text(text, encoding="utf-8", newline="")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda output: (output / "run.json").unlink(), "what the table beside it was made with is not known"),
        (lambda output: (output / "run.json").write_text("{}"), "what the table beside it was made with is not known"),
        (spoil("file;slice;class\r\na.png;;glioma\r\n"), "names other columns"),
        (spoil(""), "names other columns"),
    ],
)
def test_a_table_that_is_not_as_it_was_left_is_refused(change, told, inputs, tmp_path):
    interrupted(inputs, tmp_path / "out")
    change(tmp_path / "out")
    with pytest.raises(InputError, match=told):
        predict(inputs, tmp_path / "out")


def test_a_cell_that_was_edited_is_refused_with_its_line(inputs, tmp_path):
    interrupted(inputs, tmp_path / "out")
    table_file = tmp_path / "out" / "predictions.csv"
    lines = table_file.read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace("glioma,0.", "glioma,0,")
    table_file.write_text("\r\n".join([*lines, ""]), encoding="utf-8", newline="")
    with pytest.raises(InputError, match="line 3"):
        predict(inputs, tmp_path / "out")


def test_names_with_a_line_break_and_with_its_escape_are_not_mixed_up(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a\nb.png", r"a\nb.png", "c.png"):
        Image.fromarray(block()).save(folder / name)
    predict(folder, tmp_path / "out", resume=False)
    rows = table(tmp_path / "out")
    assert {row["file"] for row in rows} == {r"a\nb.png", r"a\\nb.png", "c.png"}
    assert len({row["mask"] for row in rows}) == 3
    before = contents(tmp_path / "out")
    assert predict(folder, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == before


def test_a_second_run_into_one_folder_is_refused_and_harms_nothing(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "LOCK_SECONDS", 0.05)
    refused = []

    def start_another(engine: Engine) -> None:
        with pytest.raises(InputError, match="is being written to by another run"):
            predict(inputs, tmp_path / "out", resume=len(refused) == 1)
        refused.append(True)

    predict(inputs, tmp_path / "alone", resume=False)
    predict(inputs, tmp_path / "out", resume=False, hook=start_another)
    assert refused == [True]
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert predict(inputs, tmp_path / "out") == 1, "the lock is gone with the run; the broken file is tried again"


def test_the_json_table_holds_numbers_of_kept_rows_as_numbers(inputs, tmp_path):
    interrupted(inputs, tmp_path / "out")
    predict(inputs, tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))["predictions"]
    assert [type(rows[0][name]) for name in ("p_glioma", "area_px", "slice")] == [float, int, type(None)]
    assert [row["slice"] for row in rows if row["file"] == "v.nii.gz"] == [0, 1, 2, 3]
