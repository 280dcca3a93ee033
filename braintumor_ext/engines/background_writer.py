"""Writing beside the training, one job at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class BackgroundWriter:
    """Run jobs in one thread, each to its end before the next is taken; the interpreter waits for the last one.

    A job's error is raised once, by the next call.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._running: Future[None] | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Start a job as soon as the one before has ended; raise that one's error instead, if it had one."""
        self.wait()
        self._running = self._executor.submit(job)

    def wait(self) -> None:
        """Wait until nothing is being written; raise the last job's error, if it had one that was not yet told."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
