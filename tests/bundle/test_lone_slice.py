from __future__ import annotations

import pytest
import torch

from braintumor_ext.engines.checkpointing import lone_slice_error
from braintumor_ext.networks import BrainTumorNet
from tests.bundle.workflows import FLAT, make_workflow, places, run_workflow, told


def test_what_torch_says_of_a_batch_of_one_cell_is_known() -> None:
    network = torch.nn.BatchNorm2d(4).train()
    with pytest.raises(ValueError, match="Expected more than 1 value") as caught:
        network(torch.zeros(1, 4, 1, 1))
    wrapped = RuntimeError("Failed to evaluate")
    wrapped.__cause__ = caught.value
    for error in (caught.value, wrapped):
        assert "--batch_size" in str(lone_slice_error(error))
    assert lone_slice_error(ValueError("another")) is None


def test_the_remedy_works() -> None:
    network = BrainTumorNet().train()
    network(torch.zeros(2, 3, 32, 32))
    network(torch.zeros(1, 3, 64, 64))


class OneCell(torch.nn.Module):
    """A network whose features are one cell a slice, as the real one's at 32 px."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)
        self.classifier = torch.nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"class": self.classifier(self.norm(x.mean(dim=(2, 3)))), "mask": x[:, :1]}


def test_a_training_that_ends_at_a_last_batch_of_one_slice_says_so(phantom_dataset, tmp_path) -> None:
    # 16 slices for training: the second batch holds one.
    settings = {**FLAT, "batch_size": 15, "network_def": {"_target_": f"{__name__}.OneCell"}}
    workflow = make_workflow("train", **places(phantom_dataset, tmp_path), **settings, epochs=1)
    with told(r"--batch_size: leaves a batch of one slice.*Give a --batch_size"):
        run_workflow(workflow)
