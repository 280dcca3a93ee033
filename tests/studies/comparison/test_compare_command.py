"""``python -m studies.comparison``: real trainings on phantoms, resumed, and its refusals."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import pytest
import sklearn.metrics

from braintumor_ext.classes import CLASSES
from braintumor_ext.data.prepare import prepare
from braintumor_ext.metrics import read_records
from studies.comparison.__main__ import main
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow


@dataclass
class Outcome:
    """What one call of the command gave."""

    code: int
    out: str
    err: str
    log: str


def compare(phantoms, output, *arguments):
    """Run the command in this process; its trainings are processes of their own."""
    out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("studies.comparison").addHandler(handler)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            common = ["--quick", "--num_workers", "0", "--dataset_dir", str(phantoms), "--output", str(output)]
            code = main([*common, *arguments])
    finally:
        logging.getLogger("studies.comparison").removeHandler(handler)
    return Outcome(code, out.getvalue(), err.getvalue(), log.getvalue())


@pytest.fixture(scope="module")
def compared(phantoms, tmp_path_factory):
    """Two folds of ours, then both of a baseline added: the folder and what the calls gave."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        output = tmp_path_factory.mktemp("comparison") / "out"
        first = compare(phantoms, output, "--protocol", "grouped", "--models", "ours")
        assert first.code == 0, first.log
        written = {path: path.stat().st_mtime_ns for path in output.glob("runs/*/run.json")}
        names = ("--models", "ours", "resnet50", "unet")
        second = compare(phantoms, output, "--protocol", "grouped", *names, "--table_only")
        third = compare(phantoms, output, "--protocol", "grouped", "--models", "ours", "resnet50", "--resume")
        assert (second.code, third.code) == (0, 0), third.log
        return output, written, second, third


def test_the_table_holds_the_pooled_folds_and_says_what_was_not_run(compared):
    output, _, second, _ = compared
    assert "not run" in second.out
    result = json.loads((output / "comparison.json").read_text())["protocols"]["grouped"]
    rows = {row["model"]: row for row in result["rows"]}
    assert list(rows)[:2] == ["ours", "resnet50"]
    assert rows["vgg16"]["status"] == "not run"  # it was not asked for
    assert {"nearest_neighbour", "file_properties"} <= set(rows)
    for name in ("ours", "resnet50"):
        records = [r for path in output.glob(f"runs/{name}-*/test/per_image.csv") for r in read_records(path, CLASSES)]
        assert len(records) == result["slices"] == 40
        right = [record.predicted_class == record.true_class for record in records]
        assert rows[name]["summary"]["classification"]["accuracy"]["value"] == pytest.approx(np.mean(right))
        f1 = sklearn.metrics.f1_score(
            [r.true_class for r in records], [r.predicted_class for r in records], average="macro"
        )
        assert rows[name]["summary"]["classification"]["macro_f1"]["value"] == pytest.approx(f1)
        assert rows[name]["status"] == "done"
        assert rows[name]["cost"]["parameters"] > 20e6
        assert rows[name]["cost"]["peak_memory_bytes"] > 1e8
        assert rows[name]["cost"]["milliseconds_per_image"] > 0
    assert rows["ours"]["summary"]["segmentation"]["tumour_slices"]["dice"]["value"] is not None
    assert rows["resnet50"]["summary"]["segmentation"]["tumour_slices"]["dice"]["value"] is None
    for name in ("comparison.md", "comparison.csv", "comparison.png"):
        assert (output / name).stat().st_size > 500
    with (output / "comparison.csv").open(newline="") as file:
        assert {"ours", "resnet50"} <= {row["model"] for row in csv.DictReader(file)}


def test_finished_runs_are_reused_and_leave_no_state_of_training_behind(compared):
    output, written, _, third = compared
    assert len(written) == 2
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert third.log.count("finished before") == 2
    assert len(list(output.glob("runs/*/run.json"))) == len(list(output.glob("runs/*"))) == 4
    assert len(list(output.glob("runs/*/models/model.pt"))) == 4
    assert not list(output.glob("runs/*/models/last.pt"))


def test_every_split_is_stored_with_the_hash_that_the_table_names(compared):
    output, *_ = compared
    result = json.loads((output / "comparison.json").read_text())["protocols"]["grouped"]
    stored = [json.loads(path.read_text()) for path in sorted((output / "splits").glob("grouped-*.json"))]
    assert [split["hash"] for split in result["splits"]] == [split["sha256"] for split in stored]
    assert [split["counts"]["test"] for split in result["splits"]] == [len(split["test"]) for split in stored]


def test_the_evidence_gives_the_same_table_and_counts_as_finished(compared, phantoms, tmp_path):
    output, *_ = compared
    grouped = ("--protocol", "grouped", "--models", "ours", "resnet50")
    copied = compare(phantoms, output, *grouped, "--table_only", "--evidence", str(tmp_path / "copy"))
    assert copied.code == 0
    names = {str(path.relative_to(tmp_path / "copy" / "runs")) for path in (tmp_path / "copy" / "runs").rglob("*.*")}
    runs = [path.name for path in output.glob("runs/*")]
    kept = ("run.json", "validation/per_image.csv", "test/per_image.csv")
    assert names == {f"{run}/{name}" for run in runs for name in kept}
    copied_records = read_records(tmp_path / "copy" / "runs" / runs[0] / "test" / "per_image.csv", CLASSES)
    assert {record.image.count("/") for record in copied_records} == {1}  # class/file, and no folder of this machine

    def told(folder):
        rows = json.loads((folder / "comparison.json").read_text())["protocols"]["grouped"]["rows"]
        return [{key: value for key, value in row.items() if key != "cost"} for row in rows]

    before = told(output)
    elsewhere = tmp_path / "elsewhere" / "dataset"  # another machine: other paths to the same images
    prepare(
        phantoms.parent / "images",
        elsewhere,
        masks=phantoms.parent / "images" / "masks",
        groups=phantoms.parent / "images" / "groups.csv",
    )
    again = compare(elsewhere, tmp_path / "copy", *grouped, "--resume")
    assert again.code == 0
    assert again.log.count("finished before") == 4
    assert again.log.count("epoch") == 0
    assert told(tmp_path / "copy") == before
    refused = compare(phantoms, tmp_path / "copy", *grouped)
    assert (refused.code, "--resume" in refused.err) == (2, True)
    run = next((tmp_path / "copy" / "runs").glob("resnet50-*-fold0-*")) / "run.json"
    done = json.loads(run.read_text())
    here = {key: done[key] for key in ("hardware", "torch")}
    run.write_text(json.dumps({**done, "hardware": "another machine", "torch": "0.1"}))
    compare(elsewhere, tmp_path / "copy", *grouped, "--table_only")
    context = json.loads((tmp_path / "copy" / "comparison.json").read_text())["context"]
    assert context["hardware"] == sorted([here["hardware"], "another machine"])  # the trainings', not the table's
    assert context["torch"] == sorted([here["torch"], "0.1"])
    assert context["time_per_image_on"] == here["hardware"]
    for path in (tmp_path / "copy" / "runs").iterdir():  # as if the configs had changed since
        path.rename(path.with_name(path.name[:-10] + "0" * 10))
    assert compare(elsewhere, tmp_path / "copy", *grouped, "--table_only").code == 0
    assert told(tmp_path / "copy") == before
    compare(elsewhere, tmp_path / "copy", *grouped, "--table_only", "--epochs_of", "resnet50=3")
    assert [row["status"] for row in told(tmp_path / "copy")[:2]] == ["done", "not run"]
    context = json.loads((tmp_path / "copy" / "comparison.json").read_text())["context"]
    assert (context["epochs_of"], context["runs_by_earlier_configs"]) == (["resnet50 3"], 2)
    table = next((tmp_path / "copy" / "runs").glob("ours-*-fold0-*")) / "test" / "per_image.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    refused = compare(elsewhere, tmp_path / "copy", *grouped, "--table_only")
    assert (refused.code, "its slices are not the 20 of grouped-seed0-fold0" in refused.err) == (2, True)
    same = compare(phantoms, output, *grouped, "--table_only", "--evidence", str(output))
    assert (same.code, "another folder" in same.err) == (2, True)


def test_another_processes_run_is_left_to_it(compared, phantoms):
    output, *_ = compared
    (run,) = output.glob("runs/resnet50-*-fold0-*")
    (run / "run.json").rename(run / "away")
    try:
        with filelock.FileLock(run / "lock"):
            done = compare(phantoms, output, "--protocol", "grouped", "--models", "ours", "resnet50", "--resume")
    finally:
        (run / "away").rename(run / "run.json")
    assert done.code == 0
    assert "another process is at it" in done.log
    assert "partial (1 of 2)" in done.out


def test_a_run_that_fails_is_named_with_its_log_and_its_row_says_not_run(phantoms, tmp_path):
    done = compare(phantoms, tmp_path, "--protocol", "random", "--models", "resnet50", "--set", "batch_size=none")
    assert done.code == 1
    assert "log.txt: the run ended with exit status 1" in done.err
    assert "not run" in done.out


def test_arguments_of_the_network_are_trained_with_and_the_evaluation_takes_them_from_the_checkpoint(
    phantoms, tmp_path
):
    done = compare(
        phantoms,
        tmp_path,
        *("--protocol", "random", "--models", "ours"),
        *("--set", "network_def::hidden=64"),
    )
    assert done.code == 0, done.log
    (settings,) = tmp_path.glob("runs/*/models/training.json")
    assert json.loads(settings.read_text())["network"]["hidden"] == 64


def test_what_cannot_be_compared_is_refused_before_any_training(compared, phantoms, tmp_path, capsys):
    output, *_ = compared
    common = ["--quick", "--output", str(output)]
    assert main([*common, "--dataset_dir", str(phantoms)]) == 2
    assert "Give --resume to go on, or another --output" in capsys.readouterr().err
    assert main([*common, "--dataset_dir", str(tmp_path)]) == 2
    assert "Prepare the data first" in capsys.readouterr().err
    assert main([*common, "--dataset_dir", str(phantoms), "--models", "resnet51"]) == 2
    assert "Choose among ours" in capsys.readouterr().err
    assert main([*common, "--dataset_dir", str(phantoms), "--folds", "99"]) == 2
    assert "Give --folds from 2 to" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_comparison_that_is_told_to_stop_leaves_no_training_behind(phantoms, tmp_path):
    def at_work():
        command_lines = (path / "cmdline" for path in Path("/proc").iterdir() if path.name.isdigit())
        with contextlib.suppress(OSError):
            return [line for path in command_lines if str(tmp_path) in (line := path.read_bytes().decode())]

    def wait_until(reached, seconds=120):
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end
            time.sleep(0.2)

    command = [sys.executable, "-m", "studies.comparison", "--quick", "--dataset_dir", str(phantoms)]
    command += ["--output", str(tmp_path / "out"), "--protocol", "grouped", "--models", "ours"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(at_work() or ()) == 2)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    wait_until(lambda: at_work() == [], 10)
