"""What a piece of code takes in memory, measured in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY

_MEASURED = """
import resource
{setup}
def highest():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = highest()
{code}
print("TOOK", highest() - before)
"""


def run_measured(setup: str, code: str, *arguments: object, **environment: str) -> tuple[str, float]:
    """Run code in a process of its own.

    Args:
        setup: what comes before: imports.
        code: what is measured.
        arguments: ``sys.argv[1:]``.
        environment: variables to set.

    Returns:
        What it printed, and by how many MiB its memory at the highest exceeds what the setup took.
    """
    program = _MEASURED.format(setup=setup, code=code)
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    told, _, took = done.stdout.rpartition("TOOK ")
    return told, float(took)
