"""Processes that are forked off a test, which has imported all that they need, and that may be killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

REFUSED = 3
_fork = multiprocessing.get_context("fork")


def start(job: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Run a job in a process of its own; it ends with 0, with 3 where an input error refused it, or with 1."""
    process = _fork.Process(target=_run, args=(job, arguments))
    process.start()
    return process


def _run(job: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    from braintumor_ext.errors import InputError

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        job(*arguments)
    except InputError:
        os._exit(REFUSED)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    os._exit(0)


def kill_at_random(process: BaseProcess, seconds: float, rng: random.Random) -> bool:
    """Kill a process, by SIGKILL or SIGTERM, at some time within so many seconds; return whether it still ran."""
    time.sleep(rng.uniform(0, seconds))
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, rng.choice((signal.SIGKILL, signal.SIGTERM)))
    process.join(60)
    return process.exitcode in (-signal.SIGKILL, -signal.SIGTERM)


def contents(folder: Path, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The bytes of each file of a folder, by its relative path."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(files.items()) if path.name not in without}
