from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from braintumor_ext.errors import InputError, InputErrors, plain_message

BAD = InputError("a b.png", "is odd", "Mend it")


def raised_from(cause: BaseException, depth: int = 3) -> BaseException:
    """Wrap an error several times, as MONAI's configuration parser does."""
    error = cause
    for level in range(depth):
        outer = RuntimeError(f"level {level}")
        outer.__cause__ = error
        error = outer
    return error


def test_the_message_names_file_problem_and_remedy():
    assert str(BAD) == "a b.png: is odd. Mend it."


def test_several_problems_are_told_one_a_line_and_the_rest_counted():
    assert str(InputErrors("d.json", ["one", "two"])) == "d.json: 2 problem(s)\n  - one\n  - two"
    told = str(InputErrors("d.json", [f"no. {number}" for number in range(53)])).splitlines()
    assert told[0] == "d.json: 53 problem(s)"
    assert told[1:51] == [f"  - no. {number}" for number in range(50)]
    assert told[51:] == ["  ... and 3 more"]


@pytest.mark.parametrize("error", [BAD, InputErrors("d.json", ["one", "two"])], ids=["one", "several"])
def test_errors_survive_the_way_from_another_process(error):
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)


@pytest.mark.parametrize("error", [BAD, InputErrors("d.json", ["one", "two"])], ids=["one", "several"])
def test_the_message_is_found_under_all_wrappers(error):
    assert plain_message(error) == str(error)
    assert plain_message(raised_from(error)) == str(error)


def test_the_message_is_found_in_a_worker_s_traceback():
    worker = "Caught RuntimeError in worker 0.\n" + "".join(traceback.format_exception(raised_from(BAD)))
    assert plain_message(raised_from(RuntimeError(worker))) == str(BAD)


def test_other_errors_have_no_plain_message():
    assert plain_message(raised_from(ValueError("a programmer's mistake"))) is None
    assert plain_message(KeyError("InputError")) is None


def test_only_a_command_line_of_its_own_tells_errors_plainly(tmp_path: Path):
    """A Python program that uses the same code keeps its ``sys.excepthook``, and its tracebacks."""
    code = "from braintumor_ext.errors import InputError, explain_plainly\nexplain_plainly('tool')\n"
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "__init__.py").write_text(code)
    for name in ("tool/run.py", "toolbox.py"):
        (tmp_path / name).write_text("import tool\nraise tool.InputError('a', 'is odd', 'Mend it')\n")

    def told(*arguments: str) -> list[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        ).stderr.splitlines()

    assert told("-m", "tool.run") == ["error: a: is odd. Mend it."]
    assert told("-m", "toolbox")[0].startswith("Traceback")
    assert told("-c", "import tool; raise tool.InputError('a', 'is odd', 'Mend it')")[0].startswith("Traceback")
