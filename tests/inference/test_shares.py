"""Slices divided among processes."""

from __future__ import annotations

import numpy as np
import pytest

from braintumor_ext.inference import list_inputs
from braintumor_ext.inference.processes import share_slices
from tests.one_slice import shown_slice, write_series

CASES = [
    ([1] * 10, 2),
    ([1] * 7, 3),
    ([1, 1], 4),
    ([], 2),
    ([5, 1, 1, 1, 1, 1], 2),
    ([1, 30, 1, 1], 3),
    ([20], 3),
    ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], 4),
]


def volumes(sizes: list[int]) -> list[dict]:
    return [
        {"image": f"v{number:02d}.nii", "name": f"v{number:02d}.nii", "slice": index}
        for number, size in enumerate(sizes)
        for index in range(size)
    ]


@pytest.mark.parametrize(("sizes", "processes"), CASES)
def test_each_slice_goes_to_one_process_and_neighbours_stay_together(sizes, processes):
    data = volumes(sizes)
    shares = share_slices(data, range(len(data)), processes)
    assert len(shares) == processes
    assert [index for share in shares for index in share] == list(range(len(data)))


@pytest.mark.parametrize(("sizes", "processes"), CASES)
def test_no_file_is_torn_and_the_shares_are_even_but_for_one_file(sizes, processes):
    data = volumes(sizes)
    shares = share_slices(data, range(len(data)), processes)
    owners = {(data[index]["name"], rank) for rank, share in enumerate(shares) for index in share}
    assert len(owners) == len(sizes)
    for share in shares:
        assert len(share) <= len(data) / processes + max(sizes, default=0)


def test_only_the_slices_that_are_left_are_divided():
    data = volumes([1] * 12)
    left = [0, 3, 4, 8, 10, 11]
    assert share_slices(data, left, 2) == [[0, 3, 4], [8, 10, 11]]


def test_the_files_of_a_series_stay_together_though_another_lies_among_them(tmp_path):
    slices = [np.roll(shown_slice(), 3 * number, axis=0) for number in range(4)]
    write_series(tmp_path, slices, names=["a.dcm", "c.dcm", "e.dcm", "g.dcm"], number=1)
    write_series(tmp_path, slices, names=["b.dcm", "d.dcm", "f.dcm", "h.dcm"], number=2)
    (tmp_path / "i.dcm").write_bytes(b"nothing")
    data = list_inputs(tmp_path)
    assert share_slices(data, range(9), 2, by_series=True) == [[0, 2, 4, 6], [1, 3, 5, 7, 8]]
    assert share_slices(data, range(9), 2) == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
