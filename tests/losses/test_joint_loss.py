"""The joint loss and the evidence outside the tumour."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss

from braintumor_ext.losses import JointLoss, evidence_outside
from braintumor_ext.networks import BrainTumorNet, ClassificationHead


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def target(classes, masks):
    return {"class": torch.tensor(classes), "label": torch.as_tensor(masks, dtype=torch.float32)}


def test_it_equals_the_formula_on_two_slices():
    # class: uniform logits over 4 -> cross entropy ln 4 whatever the smoothing
    # mask: 2x2 pixels, one slice all tumour and one empty, p = 0.8 everywhere
    # Dice (smooth 1): 1 - (2 * 4 * 0.8 + 1) / (8 * 0.8 + 4 + 1) = 1 - 7.4 / 11.4
    # BCE: half the pixels -ln 0.8, half -ln 0.2
    masks = torch.stack([torch.ones(1, 2, 2), torch.zeros(1, 2, 2)])
    prediction = {"class": torch.zeros(2, 4), "mask": torch.full((2, 1, 2, 2), logit(0.8))}
    dice, bce = 1 - 7.4 / 11.4, -(math.log(0.8) + math.log(0.2)) / 2
    expected = 0.7 * math.log(4) + 0.3 * (0.5 * dice + 0.5 * bce)
    assert JointLoss()(prediction, target([0, 3], masks)).item() == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_gives_a_tenth_to_all_classes():
    # p = softmax([2, 0, 0, 0]); smoothed target 0.925 on the true class, 0.025 on each other
    logits = torch.tensor([[2.0, 0, 0, 0]])
    log_p = [2 - math.log(math.exp(2) + 3), -math.log(math.exp(2) + 3)]
    expected = -(0.925 * log_p[0] + 3 * 0.025 * log_p[1])
    assert JointLoss().class_loss(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_alpha_weighs_the_two_parts(alpha):
    torch.manual_seed(0)
    loss = JointLoss(alpha=alpha)
    prediction = {"class": torch.randn(3, 4), "mask": torch.randn(3, 1, 8, 8)}
    goal = target([0, 1, 2], (torch.rand(3, 1, 8, 8) > 0.5))
    parts = (
        loss.class_loss(prediction["class"], goal["class"]),
        loss.segmentation_loss(prediction["mask"], goal["label"]),
    )
    torch.testing.assert_close(loss(prediction, goal), alpha * parts[0] + (1 - alpha) * parts[1])


def picked_out(prediction, goal, alpha, smoothing, dice_weight, smooth):
    """The loss by MONAI's DiceCELoss and torch's cross entropy, on the slices that are known."""
    masks = DiceCELoss(
        sigmoid=True,
        batch=True,
        smooth_nr=smooth,
        smooth_dr=smooth,
        lambda_dice=dice_weight,
        lambda_ce=1 - dice_weight,
    )
    known_class, known_mask = goal["class"] >= 0, goal["label"].flatten(1).amin(dim=1) >= 0
    class_loss = mask_loss = torch.zeros(())
    if known_class.any():
        class_loss = F.cross_entropy(
            prediction["class"][known_class], goal["class"][known_class], label_smoothing=smoothing
        )
    if known_mask.any():
        mask_loss = masks(prediction["mask"][known_mask], goal["label"][known_mask])
    return alpha * class_loss + (1 - alpha) * mask_loss


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, -1, 2, -1), (-1, -1, -1, -1)])
@pytest.mark.parametrize("unknown_masks", [(), (1,), (0, 2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("settings", [(0.7, 0.1, 0.5, 1.0), (0.3, 0.0, 0.8, 1e-5)])
def test_it_equals_monais_and_torchs_losses_of_what_is_known(classes, unknown_masks, settings):
    generator = torch.Generator().manual_seed(7)
    masks = (torch.rand(4, 1, 16, 16, generator=generator) > 0.8).float()
    masks[3] = 0  # a known, empty mask
    for index in unknown_masks:
        masks[index] = -1
    goal = target(list(classes), masks)
    logits = {
        "class": 3 * torch.randn(4, 4, generator=generator),
        "mask": 5 * torch.randn(4, 1, 16, 16, generator=generator),
    }
    values, gradients = [], []
    for loss in (JointLoss(*settings), lambda prediction, goal: picked_out(prediction, goal, *settings)):
        prediction = {name: value.clone().requires_grad_() for name, value in logits.items()}
        value = loss(prediction, goal) + 0 * sum(value.sum() for value in prediction.values())
        value.backward()
        values.append(value.detach())
        gradients.append({name: value.grad for name, value in prediction.items()})
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


def test_an_empty_slice_with_little_predicted_adds_next_to_nothing():
    # seven slices segmented all but perfectly and one empty one predicted at 0.001 everywhere
    masks = torch.zeros(8, 1, 224, 224)
    masks[:7, :, 80:120, 80:120] = 1
    logits = torch.where(masks > 0, 12.0, -12.0)
    well = JointLoss().segmentation_loss(logits[:7], masks[:7])
    logits[7] = logit(0.001)
    with_empty = JointLoss().segmentation_loss(logits, masks)
    assert 0 <= with_empty - well < 0.02


def test_unknown_masks_take_part_in_the_class_only():
    torch.manual_seed(0)
    prediction = {"class": torch.randn(3, 4), "mask": torch.randn(3, 1, 8, 8)}
    masks = (torch.rand(3, 1, 8, 8) > 0.5).float()
    masks[1] = -1
    loss = JointLoss()
    kept = {name: value[[0, 2]] for name, value in prediction.items()}
    expected = 0.7 * loss.class_loss(prediction["class"], torch.tensor([0, 1, 2]))
    expected += 0.3 * loss.segmentation_loss(kept["mask"], masks[[0, 2]])
    torch.testing.assert_close(loss(prediction, target([0, 1, 2], masks)), expected)


def test_a_rotated_unknown_mask_with_zero_corners_is_still_unknown():
    masks = torch.full((1, 1, 4, 4), -1.0)
    masks[..., 0, 0] = 0
    prediction = {"class": torch.zeros(1, 4), "mask": torch.randn(1, 1, 4, 4)}
    assert JointLoss().segmentation_loss(prediction["mask"], masks).item() == 0


def test_unknown_classes_take_part_in_the_mask_only():
    torch.manual_seed(0)
    prediction = {"class": torch.randn(3, 4), "mask": torch.randn(3, 1, 8, 8)}
    masks = (torch.rand(3, 1, 8, 8) > 0.5).float()
    loss = JointLoss()
    expected = 0.7 * loss.class_loss(prediction["class"][:1], torch.tensor([2]))
    expected += 0.3 * loss.segmentation_loss(prediction["mask"], masks)
    torch.testing.assert_close(loss(prediction, target([2, -1, -1], masks)), expected)


def test_a_batch_of_unknowns_is_finite_and_can_be_trained_on():
    prediction = {
        "class": torch.randn(2, 4, requires_grad=True),
        "mask": torch.randn(2, 1, 8, 8, requires_grad=True),
    }
    loss = JointLoss()(prediction, target([-1, -1], -torch.ones(2, 1, 8, 8)))
    loss.backward()
    assert loss.item() == 0
    assert prediction["class"].grad.abs().sum() == 0
    assert prediction["mask"].grad.abs().sum() == 0


def test_half_precision_logits_do_not_overflow():
    masks = torch.ones(32, 1, 224, 224)
    prediction = {"class": torch.zeros(32, 4).half(), "mask": torch.full((32, 1, 224, 224), 9.0).half()}
    assert torch.isfinite(JointLoss()(prediction, target([0] * 32, masks)))


@pytest.mark.parametrize("kwargs", [{"alpha": 1.5}, {"dice_weight": -0.1}])
def test_a_weight_outside_its_range_is_refused(kwargs):
    with pytest.raises(ValueError, match="must lie in"):
        JointLoss(**kwargs)


@pytest.mark.parametrize("smooth", [0, -1.0])
def test_dice_without_smoothing_is_refused(smooth):
    with pytest.raises(ValueError, match="smooth must be positive"):
        JointLoss(smooth=smooth)


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
