"""The state of a training: copies of it, and writing beside the training."""

from __future__ import annotations

import threading

import pytest
import torch

from braintumor_ext.engines.state_file import BackgroundWriter, snapshot


def state() -> dict:
    image = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    return {"weights": {"a": image, "b": torch.tensor(3)}, "rates": [0.1, (0.9, torch.ones(2))], "none": None}


def test_it_is_equal_and_its_own():
    original = state()
    copy = snapshot(original)
    original["weights"]["a"].zero_()
    original["rates"][1][1].zero_()
    original["rates"].append(0.2)
    expected = state()
    assert torch.equal(copy["weights"]["a"], expected["weights"]["a"])
    assert copy["weights"]["a"].is_contiguous(memory_format=torch.channels_last)
    assert copy["rates"][0] == 0.1
    assert torch.equal(copy["rates"][1][1], torch.ones(2))
    assert len(copy["rates"]) == 2
    assert copy["none"] is None


def test_an_earlier_one_is_written_over_where_it_fits():
    earlier = snapshot({"same": torch.zeros(3), "grown": torch.zeros(3), "gone": torch.zeros(3)})
    places = {name: value.data_ptr() for name, value in earlier.items()}
    copy = snapshot({"same": torch.ones(3), "grown": torch.ones(5), "new": torch.ones(1)}, earlier)
    assert copy["same"].data_ptr() == places["same"]
    assert [value.tolist() for value in copy.values()] == [[1.0] * 3, [1.0] * 5, [1.0]]


def test_gradients_are_not_carried():
    weight = torch.nn.Parameter(torch.ones(2))
    copy = snapshot({"weight": weight})
    assert not copy["weight"].requires_grad
    assert not snapshot({"weight": weight}, copy)["weight"].requires_grad


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
