from __future__ import annotations

import pickle
import traceback

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
    assert str(InputErrors("d.json", ["one", "two", "three"], shown=2)) == (
        "d.json: 3 problem(s)\n  - one\n  - two\n  ... and 1 more"
    )


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
