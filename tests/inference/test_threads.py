from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from braintumor_ext.inference.threads import side_threads


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_torch_computes_on_one_core_in_each_and_here_as_before() -> None:
    here = threading.Barrier(2)

    def cores() -> int:
        here.wait(timeout=30)  # so that both threads work
        return torch.get_num_threads()

    with side_threads(2, "side") as pool:
        assert [future.result() for future in [pool.submit(cores) for _ in range(2)]] == [1, 1]
        assert torch.get_num_threads() == 3
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [3], "threads of others are not touched"
