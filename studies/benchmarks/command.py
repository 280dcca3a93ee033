"""The command line of one benchmark."""

from __future__ import annotations

import argparse
import inspect
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from studies.benchmarks.machine import machine
from studies.benchmarks.markdown import one_table
from studies.benchmarks.record import Result, Table, write_result

RESULTS = Path(__file__).resolve().parents[1] / "results" / "benchmarks"


def main(run: Callable[[bool], Sequence[Table]], arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark, write its JSON and print its table.

    A benchmark's module ends with ``if __name__ == "__main__": sys.exit(main(run))``.

    Args:
        run: makes the tables; its argument asks for a small, quick run. Its module's name is the result's.
        arguments: the command line; ``sys.argv`` if None.

    Returns:
        0; 1 where the benchmark failed, which its JSON tells, too.
    """
    name = Path(inspect.getfile(run)).stem
    parser = argparse.ArgumentParser(prog=f"python -m studies.benchmarks.{name}", description=inspect.getdoc(run))
    parser.add_argument("--quick", action="store_true", help="make all small, only to see that it works")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the JSON file")
    options = parser.parse_args(arguments)
    facts, begun = machine(), time.perf_counter()
    tables: Sequence[Table] = []
    failure = ""
    try:
        tables = run(options.quick)
    except Exception:
        failure = traceback.format_exc().strip()
        print(failure)
    result = Result(name, facts, round(time.perf_counter() - begun, 1), options.quick, list(tables), failure)
    write_result(result, options.output)
    print(one_table([result]))
    return 1 if failure else 0
