from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from braintumor_ext.saliency_metrics.deletion_insertion import deletion_insertion


class BrightCorner(nn.Module):
    """Two logits: the sum of the top left quarter's pixels, weighed, and 0."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        corner = x[:, 0, : x.shape[2] // 2, : x.shape[3] // 2].sum(dim=(1, 2))
        return torch.stack([self.weight * corner, torch.zeros_like(corner)], dim=1)


def corner_image(size: int = 8) -> Tensor:
    """1 in the top left quarter, else 0."""
    x = torch.zeros(1, 1, size, size)
    x[:, :, : size // 2, : size // 2] = 1
    return x


CLASS_0 = torch.tensor([0])


def test_deletion_of_a_linear_model_follows_its_closed_form() -> None:
    # 16 of 64 pixels count; in 16 steps of 4 pixels, the map that marks them first deletes 4 of them at each of the
    # first four steps: the logit is w (16 - 4 k), then 0.
    x, weight = corner_image(), 0.2
    found = deletion_insertion(BrightCorner(weight), x, x, CLASS_0).deletion[0]
    steps = torch.arange(17)
    expected = torch.sigmoid(weight * (16 - 4 * steps).clamp_min(0).double())
    assert torch.allclose(found, expected, atol=1e-6)
    # and the opposite map touches them in the last four steps only
    found = deletion_insertion(BrightCorner(weight), x, 1 - x, CLASS_0).deletion[0]
    expected = torch.sigmoid(weight * (4 * (16 - steps)).clamp_max(16).double())
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_area_is_the_trapezium_rule_by_hand() -> None:
    x = corner_image(2)  # 4 pixels, of which one counts
    curves = deletion_insertion(BrightCorner(3.0), x, x, CLASS_0, steps=4)
    high = 1 / (1 + torch.exp(torch.tensor(-3.0)).item())
    assert curves.deletion[0].tolist() == pytest.approx([high, 0.5, 0.5, 0.5, 0.5], abs=1e-6)
    assert curves.deletion_area.item() == pytest.approx(((high + 0.5) / 2 + 3 * 0.5) / 4, abs=1e-6)


def test_insertion_begins_with_the_blurred_slice_and_ends_with_the_slice() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 1, 32, 32)
    model = BrightCorner(0.05)
    curves = deletion_insertion(model, x, x, CLASS_0, steps=4)
    assert curves.insertion[0, -1].item() == pytest.approx(torch.softmax(model(x), 1)[0, 0].item(), abs=1e-6)
    assert curves.deletion[0, 0].item() == pytest.approx(curves.insertion[0, -1].item(), abs=1e-6)
    images = torch.cat(model.seen)
    blurred = images[5]  # after five images of the deletion curve
    assert blurred.std() < 0.3 * x.std()
    assert blurred.mean().item() == pytest.approx(x.mean().item(), abs=0.03)  # a blur moves brightness, not removes it


def test_all_deleted_is_the_slices_own_darkest_value_of_each_channel() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 16, 16) - torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    model = BrightCorner(1.0)
    deletion_insertion(model, x, x[:, :1], CLASS_0, steps=4)
    gone = torch.cat(model.seen)[4]
    assert torch.equal(gone, x[0].amin(dim=(1, 2))[:, None, None].expand(3, 16, 16))


@pytest.mark.parametrize("steps", [1, 5, 16])
def test_each_step_replaces_its_share_of_the_pixels_and_they_are_the_most_important_ones(steps: int) -> None:
    torch.manual_seed(1)
    x, heat = torch.rand(1, 1, 9, 11) + 1, torch.rand(1, 1, 9, 11)
    model = BrightCorner(1.0)
    deletion_insertion(model, x, heat, CLASS_0, steps=steps)
    for step, image in enumerate(torch.cat(model.seen)[: steps + 1]):
        gone = (image == x.min()) & (x[0] != x.min())
        assert abs(int((image == x.min()).sum()) - round(step * 99 / steps)) <= 1
        if 0 < step < steps:
            assert heat[0][gone].min() > heat[0][~gone & (x[0] != x.min())].max()


def test_a_map_of_the_evidence_beats_noise_and_its_opposite() -> None:
    x = corner_image(16)
    noise = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    model = BrightCorner(0.1)
    good, random, bad = (deletion_insertion(model, x, heat, CLASS_0) for heat in (x, noise, 1 - x))
    assert good.deletion_area < random.deletion_area < bad.deletion_area
    assert good.insertion_area > random.insertion_area > bad.insertion_area


def test_an_image_has_the_same_curves_alone_and_in_any_batch() -> None:
    torch.manual_seed(2)
    x, maps, classes = torch.rand(5, 1, 12, 12), torch.rand(5, 1, 12, 12), torch.tensor([0, 1, 0, 1, 1])
    together = deletion_insertion(BrightCorner(0.1), x, maps, classes, n_batch=7)
    for i in range(5):
        alone = deletion_insertion(BrightCorner(0.1), x[i : i + 1], maps[i : i + 1], classes[i : i + 1], n_batch=32)
        assert torch.allclose(together.deletion[i], alone.deletion[0], atol=1e-6)
        assert torch.allclose(together.insertion[i], alone.insertion[0], atol=1e-6)


def test_equal_pixels_do_not_go_from_the_top_left() -> None:
    # An empty map: half of the pixels deleted must be about half of the corner's, not all of them.
    x = corner_image(32)
    model = BrightCorner(1.0)
    deletion_insertion(model, x, torch.zeros_like(x), CLASS_0, steps=2)
    left = torch.cat(model.seen)[1].sum().item()
    assert 0.35 * 256 < left < 0.65 * 256


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a map of its size"):
        deletion_insertion(BrightCorner(1.0), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4), CLASS_0)
    with pytest.raises(ValueError, match="steps must be positive"):
        deletion_insertion(BrightCorner(1.0), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), CLASS_0, steps=0)
