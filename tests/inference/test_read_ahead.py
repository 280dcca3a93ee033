from __future__ import annotations

import threading

import pytest
import torch
from torch.utils.data import Dataset

from braintumor_ext.inference import ReadAheadLoader


class Numbers(Dataset):
    """Numbers from 0; reading the bad one raises."""

    def __init__(self, count: int, bad: int | None = None) -> None:
        self.count, self.bad = count, bad
        self.threads: set[str] = set()
        self.read = threading.Semaphore(0)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        if index == self.bad:
            raise OSError("no such number")
        self.threads.add(threading.current_thread().name)
        self.read.release()
        return index


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_batches_come_whole_and_in_order(count: int, workers: int) -> None:
    loader = ReadAheadLoader(Numbers(count), batch_size=2, num_workers=workers)
    for _ in range(2):
        assert [number for batch in loader for number in batch.tolist()] == list(range(count))


def test_the_next_batch_is_read_while_one_is_used() -> None:
    numbers = Numbers(6)
    batches = iter(ReadAheadLoader(numbers, batch_size=2))
    assert torch.equal(next(batches), torch.tensor([0, 1]))
    assert all(numbers.read.acquire(timeout=10) for _ in range(4)), "the second batch was read without being asked for"
    assert threading.current_thread().name not in numbers.threads
    batches.close()


def test_an_error_of_reading_comes_out_after_the_batches_before() -> None:
    batches = iter(ReadAheadLoader(Numbers(6, bad=4), batch_size=2))
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(OSError, match="no such number"):
        next(batches)
