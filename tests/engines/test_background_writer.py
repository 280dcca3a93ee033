"""Writing beside the training."""

from __future__ import annotations

import threading

import pytest

from braintumor_ext.engines.background_writer import BackgroundWriter


def test_a_job_runs_beside_its_submitter_and_ends_before_the_next_begins():
    writer, opened, done = BackgroundWriter(), threading.Event(), []
    writer.submit(lambda: (opened.wait(60), done.append(1)))
    assert done == []
    opened.set()
    writer.submit(lambda: done.append(2))
    writer.wait()
    assert done == [1, 2]


def test_an_error_is_raised_once_by_the_next_call():
    def fail():
        raise OSError("full")

    writer = BackgroundWriter()
    writer.submit(fail)
    with pytest.raises(OSError, match="full"):
        writer.submit(lambda: None)
    writer.wait()
