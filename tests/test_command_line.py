"""Options reach the config as they are given, or one line says what to write; an interruption leaves no traceback."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from braintumor_ext.command_line import PATH_OPTIONS, check_names, check_paths, writing_of
from braintumor_ext.errors import InputError
from tests.bundle.workflows import ROOT, command_line

pytestmark = pytest.mark.slow

PROGRAM = str(Path("somewhere") / "monai" / "bundle" / "__main__.py")
CHANGED = [
    "2024_03_11",
    "2024.10",
    "1e5",
    "a,b",
    "[a]",
    "(1)",
    "{a}",
    "None,",
    "a#b",
    "./a#b",
    "/data/a#b",
    "@a",
    "0x1F",
]
CHANGED += ["True", "a,1", "a@::b", "'a#b'", "1_0", "a#b,c", "it's#1", 'say "#"', "é#ü"]
AS_GIVEN = [
    "a",
    "a b",
    "a-b",
    "2024-03-11",
    "./2024_03_11",
    "/data/2024_03_11",
    "a@b",
    "a%b",
    "a (1)",
    "/a,b",
    "$x",
    "ü",
]
AS_GIVEN += ["../a", "a.b", "it's", "'quoted'", '"2024_03_11"', "a=b", "none", "50%", "a[1] b", "C:\\x"]


def through(value: str) -> object:
    """What a config makes of a value on the command line."""
    parser = ConfigParser({"path": DefaultParseValue(value), "run": "$str(@path)"})
    return parser.get_parsed_content("run")


@pytest.mark.parametrize("path", CHANGED)
@pytest.mark.parametrize("form", ["--output_dir {}", "--output-dir {}", "--output_dir={}"])
def test_a_path_that_would_be_changed_is_told_with_what_to_write(path: str, form: str) -> None:
    arguments = [PROGRAM, "run", *form.format("\0").replace(" ", "\1").replace("\0", path).split("\1")]
    with pytest.raises(InputError, match=r"^--output_dir: .*Write --output_dir ") as caught:
        check_paths(arguments)
    assert str(caught.value).count("\n") == 0
    written = re.sub(r" for the path, .*", "", caught.value.remedy.removeprefix("Write --output_dir "))
    (value,) = shlex.split(written)
    assert value == shlex.split(writing_of(path))[0]
    check_paths([PROGRAM, "run", "--output_dir", value])
    assert os.path.normpath(str(through(value))) == os.path.normpath(path)


@pytest.mark.parametrize("path", AS_GIVEN)
def test_other_paths_pass_and_reach_the_config_as_they_are(path: str) -> None:
    for name in PATH_OPTIONS:
        check_paths([PROGRAM, "run", f"--{name}", path])
    if not path.startswith(("$", "'", '"')):
        assert through(path) == path


def test_other_options_and_other_programs_are_not_looked_at() -> None:
    check_paths(
        [PROGRAM, "run", "training", "--config_file", "['a.json','b.json']", "--epochs", "1_0", "--pretrained", "True"]
    )
    check_paths(["pytest", "--output_dir", "2024_03_11"])


@pytest.mark.parametrize("arguments", [["--output_dir"], ["--output_dir", "--epochs", "1"]])
def test_an_option_without_its_path_is_told(arguments: list[str]) -> None:
    with pytest.raises(InputError, match="without a path"):
        check_paths([PROGRAM, "run", *arguments])


TRAINING = [PROGRAM, "run", "training", "--config_file", f"['{ROOT}/configs/train.json','{ROOT}/configs/demo.json']"]


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("--epoch", "--epochs"),
        ("--datset-dir", "--dataset_dir"),
        ("--train::trainr::max_epochs", "--train::trainer"),
        ("--tain::trainer::max_epochs", "--train"),
        ("--train::epochs", "Leave it away"),
        ("--xyzzy", "Leave it away"),
    ],
)
@pytest.mark.parametrize("form", ["{} 1", "{}=1"])
def test_an_option_that_nothing_would_heed_is_told(option: str, near: str, form: str) -> None:
    with pytest.raises(InputError, match="would change nothing") as caught:
        check_names([*TRAINING, *form.format(option).split()])
    assert near in caught.value.remedy


@pytest.mark.parametrize(
    "options",
    [
        "--epochs 1 --train::trainer::max_epochs 2 --image-size=64 --run_id training --logging_file x --tracking None",
        "--optimizer::amsgrad True",  # a further argument of a component
        "--rate 0.1 --optimizer::lr @rate",
        "--train::handlers::0::anything 1",
    ],
)
def test_options_of_the_config_pass(options: str) -> None:
    check_names([*TRAINING, *options.split()])


@pytest.mark.parametrize("config", ["inference", "train"])
def test_the_bundle_s_runs_say_it_in_one_line(config: str, tmp_path: Path) -> None:
    options = ("--bundle_root", str(ROOT), "--config_file", str(ROOT / "configs" / f"{config}.json"))
    run_id = ["training"] if config == "train" else []
    ran = command_line(*run_id, *options, "--output_dir", "a#b", cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("error: --output_dir: a#b would be changed on the way")
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
    ran = command_line(*run_id, *options, "--output_dri", "a", cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("error: --output_dri: ")
    assert "Did you mean --output_dir" in ran.stderr


WAIT = "$(print('ready', flush=True), __import__('time').sleep(60))"


@pytest.mark.parametrize("kind", ["bundle", "script"])
def test_an_interruption_leaves_no_traceback(kind: str, tmp_path: Path) -> None:
    if kind == "bundle":
        options = ["--config_file", str(ROOT / "configs" / "inference.json"), "--bundle_root", str(ROOT)]
        arguments = ["-W", "ignore", "-m", "monai.bundle", "run", *options, "--evaluator", WAIT, "--writer", "$1"]
    else:
        os.mkfifo(tmp_path / "folders.json")
        folder = tmp_path / "x" / "glioma"
        folder.mkdir(parents=True)
        names = ("--images", str(tmp_path / "x"), "--output", str(tmp_path / "y"), "--folder-map")
        arguments = ["-m", "scripts.prepare_data", *names, str(tmp_path / "folders.json")]
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell's background job ignores the signal, and so would what it starts: these tests, and their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    if kind == "bundle":
        assert process.stdout is not None
        while "ready" not in (line := process.stdout.readline()):
            assert line, process.communicate()[1]
    else:
        with open(tmp_path / "folders.json", "w"):  # it is being read now
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
    if kind == "bundle":
        process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert told.splitlines()[-1] == "Interrupted."
