"""Run all benchmarks, each in a process and a time budget of its own, and write their results as one table.

``python -m studies.benchmarks`` writes ``studies/results/benchmarks/*.json`` and ``README.md`` beside them; ``--page``
also puts the tables into ``studies/benchmarks/README.md`` and draws the curves beside the results.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from studies.benchmarks.command import RESULTS
from studies.benchmarks.curves import draw_curve
from studies.benchmarks.machine import machine
from studies.benchmarks.markdown import one_table, picture, rewrite
from studies.benchmarks.record import Result, read_result, write_result

BENCHMARKS = {
    "network": 20,
    "time_spent": 35,
    "scaling": 110,
    "processes": 65,
    "explain": 45,
    "backends": 105,
    "training": 80,
    "trainer": 100,
    "pipeline": 95,
    "inference": 185,
}
"""Each benchmark's budget in seconds; together at most 14 minutes."""

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).with_name("README.md")
IMAGES = RESULTS


def run_one(name: str, budget: float, output: Path, quick: bool) -> Result:
    """Run a benchmark in a process of its own; one that fails, crashes or takes too long gives a result that says so.

    Args:
        name: the module's name.
        budget: seconds, after which its processes are ended.
        output: the folder of the JSON file.
        quick: whether to make it small.
    """
    path = output / f"{name}.json"
    path.unlink(missing_ok=True)  # an earlier result must not pass for this run's
    command = [sys.executable, "-W", "ignore", "-m", f"studies.benchmarks.{name}", "--output", str(output)]
    begun = time.perf_counter()
    process = subprocess.Popen([*command, *["--quick"] * quick], cwd=ROOT, start_new_session=True)
    try:
        process.wait(budget)
        failure = f"it ended with exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        failure = f"not done after {budget:g} s"
    finally:
        _end(process)
    if not path.is_file():
        write_result(Result(name, machine(), round(time.perf_counter() - begun, 1), quick, failure=failure), output)
    return read_result(path)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a benchmark: itself, and workers that outlived it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def write_table(output: Path) -> list[Result]:
    """Write ``README.md`` beside all results that a folder has, and return them."""
    results = [read_result(path) for path in sorted(output.glob("*.json"))]
    text = "# Results of the benchmarks\n\nWritten by `make benchmark`.\n\n" + one_table(results) + "\n"
    (output / "README.md").write_text(text, encoding="utf-8")
    return results


def write_page(results: Sequence[Result], page: Path = PAGE, images: Path = IMAGES) -> None:
    """Put results into a page, as tables where it names them, and draw their curves.

    Args:
        results: what there is.
        page: Markdown with markers (:data:`studies.benchmarks.markdown.MARKER`).
        images: the folder of the curves.
    """
    link = Path(os.path.relpath(images, page.parent)).as_posix()
    text = rewrite(page.read_text(encoding="utf-8"), results, link)
    for result in results:
        for found in result.tables:
            if found.curve is not None:
                draw_curve(found, images / picture(result, found))
    page.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line; ``sys.argv`` if None.

    Returns:
        0; 1 where a benchmark failed, after the others have run.
    """
    parser = argparse.ArgumentParser(prog="python -m studies.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="make all small, only to see that they work")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--page", action="store_true", help="also rewrite studies/benchmarks/README.md and its curves")
    parser.add_argument("--render", action="store_true", help="run nothing: write the table of the results there are")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}: choose among {', '.join(BENCHMARKS)}")
    names = [] if options.render else options.names or list(BENCHMARKS)
    options.output.mkdir(parents=True, exist_ok=True)
    failed = []
    for number, name in enumerate(names, 1):
        print(f"\n[{number} of {len(names)}] {name}: at most {BENCHMARKS[name]} s", flush=True)
        result = run_one(name, BENCHMARKS[name], options.output, options.quick)
        if result.failure:
            failed.append(f"{name}: {result.failure.splitlines()[-1]}")
    results = write_table(options.output)
    if options.page:
        write_page(results)
    print(f"\n{options.output / 'README.md'} has all results as one table.")
    for line in failed:
        print(f"FAILED {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
