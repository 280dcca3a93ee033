"""Errors that a person can act on: each names the file, what is wrong with it and the remedy."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from os import PathLike
from types import TracebackType

from braintumor_ext.plain_text import printable

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""The system's numbers for: no space left, over the quota, file too large, file system that is only to be read."""

MOST_TOLD = 50

LOOK_AT_IT = "Open it in a viewer, or leave it out"
"""What to do about a file with which something went wrong that nobody foresaw."""

_INTERRUPTED = 130  # as shells tell it: 128 and the signal's number


class InputError(ValueError):
    """One input that cannot be used.

    Args:
        path: the file or folder at fault, as the user gave it.
        problem: what is wrong with it, with the offending value, without a closing full stop.
        remedy: what to do about it, without a closing full stop.
    """

    def __init__(self, path: str | PathLike[str], problem: str, remedy: str) -> None:
        self.path, self.problem, self.remedy = str(path), problem, remedy
        super().__init__(f"{printable(self.path)}: {problem}. {remedy}.")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.path, self.problem, self.remedy)


class InputErrors(ValueError):
    """Several problems of one run, told at once: the first ones spelt out, the rest counted.

    Args:
        what: the thing that is broken, e.g. the datalist's path.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.what, self.problems = what, list(problems)
        lines = [f"{what}: {len(self.problems)} problem(s)", *(f"  - {p}" for p in self.problems[:MOST_TOLD])]
        if len(self.problems) > MOST_TOLD:
            lines.append(f"  ... and {len(self.problems) - MOST_TOLD} more")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[InputErrors], tuple[str, list[str]]]:
        return type(self), (self.what, self.problems)


def explain_plainly(*programs: str) -> None:
    """Let a command that ends with an input error, on a full disk, or interrupted, say so alone, without a traceback.

    MONAI's configuration parser wraps the error of a component several times, and a data loader's worker hands over
    its traceback as text. Nothing changes for other errors, nor where another handler of uncaught errors is already in
    place, nor in a Python session or another program that merely uses what the command line uses.

    Args:
        programs: what ``python -m`` runs: ``monai.bundle``, or packages whose modules are commands.
    """
    run = next((name for flag, name in pairwise(sys.orig_argv) if flag == "-m"), "")
    if f"{run}.".startswith(tuple(f"{program}." for program in programs)) and sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show


def plain_message(error: BaseException) -> str | None:
    """Return the message of the input error, or the full disk, behind an error; None if there is none.

    The error may be the input error, have been raised from it or hand over a worker's traceback.
    """
    told = re.compile(rf"^{re.escape(__name__)}\.InputError: (.+)$", re.MULTILINE)
    for cause in causes_of(error):
        if isinstance(cause, InputError | InputErrors):
            return str(cause)
        if found := told.search(str(cause)):
            return found[1]
    full = disk_full(error)
    if full is None:
        return None
    path = printable(str(full.filename or "a file"))
    return f"{path}: {full.strerror}. Make room, or write elsewhere, and run it again."


def unreadable(
    path: str | PathLike[str], error: BaseException, problem: str = "could not be read", remedy: str = LOOK_AT_IT
) -> InputError:
    """Return what to say of a file where an error occurred that nobody foresaw."""
    reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return InputError(path, f"{problem} ({reason})", remedy)


def disk_full(error: BaseException | None) -> OSError | None:
    """Return what the system says of a full disk behind an error; None if it is another error."""
    found = (cause for cause in causes_of(error) if isinstance(cause, OSError) and cause.errno in DISK_FULL)
    return next(found, None)


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, what that was raised from, and so on."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the input error itself where MONAI's configuration parser has wrapped it."""
    try:
        yield
    except Exception as error:
        behind = next((cause for cause in causes_of(error) if isinstance(cause, InputError | InputErrors)), None)
        raise (behind or error) from None


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    message = plain_message(error)
    if isinstance(error, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr)
        raise SystemExit(_INTERRUPTED)
    elif message is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        print(f"error: {message}", file=sys.stderr)
