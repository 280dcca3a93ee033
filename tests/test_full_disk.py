"""A full disk is told in one message, and what was there before is there still."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from PIL import Image

from braintumor_ext.engines import TrainingHistory
from braintumor_ext.errors import InputError, disk_full, plain_message
from braintumor_ext.files import replacing
from scripts.prepare_data import main as prepare
from tests.data.folders import class_folders
from tests.engines.test_checkpointing import train
from tests.engines.trainers import make_evaluator
from tests.inference.writing import block, run
from tests.small_disk import small_disk


def fill(folder: Path, left: int = 0) -> None:
    """Leave a few bytes of a disk."""
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(file.tell() - left, 0))


def test_the_file_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk:
        (disk / "table.csv").write_text("as it was")
        with pytest.raises(OSError, match="No space left") as caught, replacing(disk / "table.csv") as partial:
            partial.write_bytes(bytes(100_000))
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(disk / "table.csv")
        assert plain_message(caught.value).startswith(f"{disk / 'table.csv'}: No space left on device.")
        assert [path.name for path in disk.iterdir()] == ["table.csv"]
        assert (disk / "table.csv").read_text() == "as it was"


def test_a_full_disk_is_told_under_all_wrappers_and_other_errors_are_not():
    full = OSError(errno.ENOSPC, "No space left on device", "a\nb.csv")
    wrapped = RuntimeError("Failed to evaluate ConfigExpression")
    wrapped.__cause__ = full
    assert (
        plain_message(wrapped) == r"a\nb.csv: No space left on device. Make room, or write elsewhere, and run it again."
    )
    assert disk_full(FileNotFoundError(errno.ENOENT, "No such file", "a.csv")) is None


def test_a_training_whose_history_does_not_fit_tells_which_epoch_is_kept(tmp_path):
    with small_disk(tmp_path / "disk", 256) as disk:
        history = TrainingHistory(disk, make_evaluator([]))

        def full(engine):
            history(engine)
            if engine.state.epoch == 2:
                fill(disk)
                history(engine)

        told = r"history\.csv: No space left on device\. See to it, then go on by --resume true: epoch 1 is kept\."
        with pytest.raises(InputError, match=told):
            train(tmp_path / "models", [0.5, 0.9, 0.1], 3, epoch_handler=full)
    last = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    assert last["epoch"] == 1
    files, _ = train(tmp_path / "models", [0.9, 0.1], 3, resume=True)
    assert files.saved_epoch == 3


def test_a_preparation_that_does_not_fit_leaves_no_half_datalist(tmp_path, capsys):
    folder = class_folders(tmp_path / "in", 8)
    with small_disk(tmp_path / "disk", 64) as disk:
        fill(disk, left=16_384)
        assert prepare(["--images", str(folder), "--output", str(disk / "out")]) == 2
        told = capsys.readouterr().err.splitlines()[-1]
        assert told.startswith(f"error: {disk / 'out'}")
        assert "No space left on device" in told
        assert not list((disk / "out").glob("datalist.json"))
        (disk / "filler").unlink()
    assert prepare(["--images", str(folder), "--output", str(tmp_path / "out")]) == 0


def test_an_inference_that_does_not_fit_keeps_its_rows_and_goes_on_elsewhere_or_with_room(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(12):
        Image.fromarray(block()).save(tmp_path / "in" / f"{number:02d}.png")
    with small_disk(tmp_path / "disk", 512) as disk:
        fill(disk, left=24_576)
        with pytest.raises(InputError, match=r"No space left on device.*--resume true|Free space"):
            run(tmp_path / "in", disk / "out")
        (disk / "filler").unlink()
        writer = run(tmp_path / "in", disk / "out", resume=True)
        assert [row["file"] for row in writer.rows.values() if not row["error"]] == [f"{n:02d}.png" for n in range(12)]
        assert not list((disk / "out").glob(".*.partial"))
