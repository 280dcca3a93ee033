"""Processes that share an inference: who predicts what, and one run by several."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pydicom
import pytest
import torch.distributed
from ignite.engine import Engine
from PIL import Image

from braintumor_ext.errors import InputError
from braintumor_ext.inference import Processes, list_inputs, run_folder, torchrun_processes
from braintumor_ext.inference.processes import share_slices
from tests.conftest import REPOSITORY
from tests.inference.test_resume import Counting, Stop, contents, predict, stop
from tests.inference.writing import block, run, table, write_volume
from tests.one_slice import shown_slice, write_series


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Eleven slices: pictures with odd names, two broken ones, and a volume of four in the middle."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.png", "b\nc.png", r"b\nc.png", "x.png", "y.png")):
        Image.fromarray(block(40 + number)).save(folder / name)
    for name in ("=d.png", "z.png"):
        (folder / name).write_bytes(b"nothing")
    write_volume(folder / "v.nii.gz", 4)
    return folder


def predict_together(
    inputs: Path, output: Path, size: int, hooks: dict[int, Callable[[Engine], None]] | None = None, **settings: Any
) -> tuple[list[Any], int]:
    """Run as so many processes; return what each has raised, the number it leaves with, or None, and all slices."""
    store, hooks = torch.distributed.HashStore(), hooks or {}
    networks = [Counting() for _ in range(size)]

    def one(rank: int) -> Any:
        processes = Processes(store, rank, size, timeout=20)
        options = {"batch_size": 2, "network": networks[rank], "processes": processes, **settings}
        try:
            run(inputs, output, "all", hook=hooks.get(rank), **options).finish()
        except (SystemExit, Exception) as leaving:
            return leaving
        return None

    with ThreadPoolExecutor(size) as pool:
        left = list(pool.map(one, range(size)))
    return left, sum(network.slices for network in networks)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_several_processes_leave_what_one_leaves(size, inputs, tmp_path):
    assert predict(inputs, tmp_path / "one", resume=False) == 11
    left, slices = predict_together(inputs, tmp_path / "several", size)
    assert slices == 11
    assert isinstance(left[0], SystemExit)
    assert str(left[0]).startswith("2 of 11 inputs could not be predicted")
    assert left[1:] == [None] * (size - 1), "process 0 alone tells of the broken files"
    assert contents(tmp_path / "several") == contents(tmp_path / "one")


def test_a_series_becomes_one_object_though_another_lies_among_its_files(tmp_path):
    slices = [np.roll(shown_slice(), 3 * number, axis=0) for number in range(3)]
    write_series(tmp_path / "in", slices, names=["a.dcm", "c.dcm", "e.dcm"], number=1)
    write_series(tmp_path / "in", slices, names=["b.dcm", "d.dcm", "f.dcm"], number=2)
    settings = {"output_format": "dicom_seg", "metadata": REPOSITORY / "configs" / "metadata.json"}
    predict(tmp_path / "in", tmp_path / "one", resume=False, **settings)
    assert predict_together(tmp_path / "in", tmp_path / "two", 2, **settings) == ([None, None], 6)
    assert table(tmp_path / "two") == table(tmp_path / "one")
    objects = list((tmp_path / "two" / "masks").iterdir())
    assert [pydicom.dcmread(path).NumberOfFrames for path in objects] == [3, 3]


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("size", [None, 1, 3])
def test_a_run_that_broke_off_is_gone_on_with_by_any_number_of_processes(size, broken, inputs, tmp_path):
    predict(inputs, tmp_path / "through", resume=False)
    left, _ = predict_together(inputs, tmp_path / "out", 2, {broken: stop}, threads=1)
    assert isinstance(left[broken], Stop)
    assert left[1 - broken] is None or "process 1: broke off (Stop" in str(left[1 - broken])
    tables = [*(tmp_path / "out").glob("predictions*.csv")]
    assert sorted(path.name for path in tables) == ["predictions.csv", "predictions.part1.csv"]
    assert not (tmp_path / "out" / "predictions.json").exists()
    rows = [row for path in tables for row in table(path.parent, path.name)]
    # Neither broken files are kept nor a volume that is not complete.
    kept = [row["file"] for row in rows if not row["error"]]
    kept = [name for name in kept if name != "v.nii.gz" or kept.count(name) == 4]
    assert kept
    if size is None:
        assert predict(inputs, tmp_path / "out") == 11 - len(kept)
    else:
        left, slices = predict_together(inputs, tmp_path / "out", size, resume=True)
        assert slices == 11 - len(kept)
        assert isinstance(left[0], SystemExit)
    assert contents(tmp_path / "out") == contents(tmp_path / "through")


def test_nothing_is_predicted_where_all_is_there(tmp_path):
    Image.fromarray(block()).save(tmp_path / "a.png")
    predict(tmp_path / "a.png", tmp_path / "out", resume=False)
    before = contents(tmp_path / "out")
    assert predict_together(tmp_path / "a.png", tmp_path / "out", 2, resume=True) == ([None, None], 0)
    assert contents(tmp_path / "out") == before


def test_without_resuming_all_tables_are_kept_under_other_names(inputs, tmp_path):
    predict_together(inputs, tmp_path / "out", 2, {1: stop})
    parts = {name: text for name, text in contents(tmp_path / "out").items() if name.endswith(".csv")}
    predict_together(inputs, tmp_path / "out", 2)
    now = contents(tmp_path / "out")
    aside = {name: text for name, text in now.items() if name.endswith(".csv") and name != "predictions.csv"}
    assert len(parts) == 2
    assert sorted(aside.values()) == sorted(parts.values())
    assert not parts.keys() & aside.keys()


def test_another_run_is_refused_as_long_as_one_process_lives(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "LOCK_SECONDS", 0.05)
    predict_together(inputs, tmp_path / "out", 2, {1: stop})
    before = contents(tmp_path / "out")
    with (
        filelock.FileLock(tmp_path / "out" / ".lock.1"),  # what a process holds whose process 0 was killed
        pytest.raises(InputError, match="is being written to by another run"),
    ):
        predict(inputs, tmp_path / "out")
    with filelock.FileLock(tmp_path / "out" / ".lock"):
        left, slices = predict_together(inputs, tmp_path / "out", 2, resume=True)
    assert slices == 0
    assert "is being written to by another run" in str(left[0])
    assert "process 0: broke off (InputError" in str(left[1])
    assert contents(tmp_path / "out") == before
    assert isinstance(predict_together(inputs, tmp_path / "out", 2, resume=True)[0][0], SystemExit)
    assert not list((tmp_path / "out").glob(".lock.*"))


def test_processes_that_see_other_files_predict_nothing(inputs, tmp_path):
    store = torch.distributed.HashStore()
    Processes(store, 0, 2).deal([[0], [1]], "of other files")
    with pytest.raises(InputError, match="process 1 sees other files than process 0"):
        run(inputs, tmp_path / "out", processes=Processes(store, 1, 2))


# --- what they tell each other


def test_a_process_that_tells_nothing_is_not_waited_for_long(inputs, tmp_path):
    started = time.monotonic()
    with pytest.raises(InputError, match=r"process 1: has told nothing for 0\.3 seconds; the rows so far are kept"):
        run(inputs, tmp_path / "out", "all", processes=Processes(torch.distributed.HashStore(), 0, 2, timeout=0.3))
    assert time.monotonic() - started < 10
    assert table(tmp_path / "out")
    with pytest.raises(InputError, match="process 0: has told nothing"):
        Processes(torch.distributed.HashStore(), 1, 2, timeout=0.3).share("")


def test_one_that_goes_on_is_waited_for():
    store = torch.distributed.HashStore()
    first, second = (Processes(store, rank, 2, timeout=0.6) for rank in (0, 1))
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(first.take_over, 1)
        for slices in range(5):
            time.sleep(0.3)
            second.tell_progress(slices)
        second.hand_over({3: {"file": "a"}, 5: {"file": "b\udcff"}})
        assert found.result() == {3: {"file": "a"}, 5: {"file": "b\udcff"}}


def test_many_rows_go_through_a_store():
    server = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    other = torch.distributed.TCPStore("127.0.0.1", server.port, is_master=False)
    first, second = Processes(server, 0, 2), Processes(other, 1, 2)
    rows = {index: {"file": f"{index}.png", "p_glioma": index / 7, "mask": None} for index in range(3_001)}
    shares = [[], list(range(1_000_000))]
    first.deal(shares, "of these")
    assert second.share("of these") == shares[1]
    second.hand_over(rows)
    assert first.take_over(1) == rows


def test_a_process_ends_when_the_store_is_gone():
    server = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    second = Processes(
        torch.distributed.TCPStore("127.0.0.1", server.port, is_master=False, timeout=timedelta(seconds=2)), 1, 2
    )
    second.tell_progress(1)
    del server
    with pytest.raises(InputError, match="process 0: cannot be reached"):
        second.share("")


def test_a_process_that_torchrun_has_not_started_is_told_so(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="RANK is not set"):
        torchrun_processes()


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
