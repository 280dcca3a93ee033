"""The class evidence and its share outside the tumour."""

from __future__ import annotations

import math

import pytest
import torch

from braintumor_ext.losses import JointLoss, evidence_outside
from braintumor_ext.networks import BrainTumorNet, ClassificationHead


def test_the_head_s_evidence_is_gradient_times_features():
    torch.manual_seed(0)
    head = ClassificationHead(32, 4, 16).eval()
    features = torch.randn(3, 32, 5, 4, requires_grad=True)
    evidence = head.evidence(features)
    for k in range(4):
        (gradient,) = torch.autograd.grad(head(features)[:, k].sum(), features)
        torch.testing.assert_close(evidence[:, k], (gradient * features).sum(1))


def label(*corners: tuple[int, int]) -> torch.Tensor:
    """4 x 4 masks: each with one pixel of tumour, in a corner cell of a 2 x 2 grid; the last without tumour."""
    masks = torch.zeros(len(corners) + 1, 1, 4, 4)
    for k, (row, column) in enumerate(corners):
        masks[k, 0, 3 * row, 3 * column] = 1
    return masks


def test_the_share_outside_by_hand():
    # On 2 x 2 cells, so times 4, with softplus(x) = log(1 + exp(4 x)) / 4 and one unit outside.
    evidence = torch.full((3, 2, 2, 2), -100.0)
    evidence[0, 1] = torch.tensor([[3.0, 1.0], [-5.0, 0.0]])  # 12 inside; 4, 0 and log(2) / 4 outside
    evidence[1, 0] = torch.tensor([[-100.0, 2.0], [-100.0, -100.0]])  # all of it outside
    masks = label((0, 0), (1, 1))
    first = (5 + math.log(2) / 4) / (17 + math.log(2) / 4)
    assert evidence_outside(evidence, torch.tensor([1, 0, 1]), masks).item() == pytest.approx((first + 1) / 2)
    assert evidence_outside(evidence, torch.tensor([1, -1, 1]), masks).item() == pytest.approx(first)  # class unknown
    masks[0] = -1  # mask unknown
    assert evidence_outside(evidence, torch.tensor([1, 0, 1]), masks).item() == pytest.approx(1)
    assert evidence_outside(evidence, torch.tensor([-1, -1, -1]), masks).item() == 0


def test_no_positive_evidence_is_no_way_out():
    """As a plain share would be: 0 where nothing is positive, so that the map of the class is empty."""
    classes, masks = torch.tensor([0]), label((0, 0))[:1]
    nothing = torch.full((1, 2, 2, 2), -1.0, requires_grad=True)
    within = torch.full((1, 2, 2, 2), -1.0)
    within[0, 0, 0, 0] = 1.0
    assert evidence_outside(nothing, classes, masks) > 0.95
    assert evidence_outside(within, classes, masks) < 0.25
    evidence_outside(nothing, classes, masks).backward()
    assert nothing.grad[0, 0, 0, 0] < 0  # more of it in the tumour


def test_a_cell_counts_by_how_much_of_it_is_tumour():
    # Columns 0 to 4 of 8: of 2 x 2 cells the left ones are full, the right ones covered by a quarter.
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :5] = 1
    evidence = torch.full((1, 1, 2, 2), -100.0)
    evidence[0, 0, 0] = torch.tensor([1.0, 2.0])  # times 4: 4 wholly inside, 8 of which 2 are
    assert evidence_outside(evidence, torch.tensor([0]), mask).item() == pytest.approx((6 + 1) / (12 + 1))
    mask[..., 1:] = 0  # a quarter of the left cells: the largest share that there is
    assert evidence_outside(evidence, torch.tensor([0]), mask).item() == pytest.approx((8 + 1) / (12 + 1))


def test_its_gradient_moves_evidence_into_the_tumour():
    for scale in (1e-3, 0.1, 1.0):
        evidence = (scale * torch.ones(1, 2, 2, 2)).requires_grad_()
        evidence_outside(evidence, torch.tensor([0]), label((0, 0))[:1]).backward()
        assert evidence.grad[0, 0, 0, 0] < 0
        assert (evidence.grad[0, 0].flatten()[1:] > 0).all()
        assert not evidence.grad[0, 1].any()


def test_the_network_gives_it_in_training_alone_and_the_loss_adds_it():
    torch.manual_seed(0)
    network = BrainTumorNet(attention=False, hidden=16, pyramid_channels=8, evidence=True)
    images = torch.randn(2, 3, 64, 64)
    assert set(network.eval()(images)) == {"class", "mask"}
    assert "evidence" not in network.arguments
    out = network.train()(images)
    assert out["evidence"].shape == (2, 4, 2, 2)
    masks = torch.zeros(2, 1, 64, 64)
    masks[0, :, :20, :20] = 1
    target = {"class": torch.tensor([0, 3]), "label": masks}
    plain, guided = JointLoss()(out, target), JointLoss(evidence_weight=0.5)(out, target)
    torch.testing.assert_close(guided - plain, 0.5 * evidence_outside(out["evidence"], target["class"], masks))
    guided.backward()
    assert network.encoder.conv1.weight.grad.abs().sum() > 0


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="evidence_weight"):
        JointLoss(evidence_weight=-0.1)
