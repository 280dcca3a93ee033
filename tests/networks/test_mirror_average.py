from __future__ import annotations

import pytest
import torch
from torch import nn

from braintumor_ext.networks import BrainTumorNet, ClassifierBaseline, MirrorAverage


class Sided(nn.Module):
    """Answers with the slice itself: its four corners as class logits, all of it as the mask's."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        corners = x[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
        return {"class": corners, "mask": x[:, :1]}


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_probabilities_are_the_mean_of_both_sides(scale: float) -> None:
    x = scale * torch.randn(3, 3, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = MirrorAverage(Sided())(x)
    left, right = x[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]], x[:, 0, [0, 0, -1, -1], [-1, 0, -1, 0]]
    torch.testing.assert_close(out["class"].softmax(1), (left.softmax(1) + right.softmax(1)) / 2)
    # a mask mirrored twice lies where it was: here both answers are the same pixel by pixel
    torch.testing.assert_close(out["mask"].sigmoid(), x[:, :1].sigmoid())


def test_a_side_that_only_the_mirror_shows_is_averaged_in_place() -> None:
    class Right(nn.Module):
        """Sees the right half of a slice alone."""

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            mask = torch.full_like(x[:, :1], -20.0)
            mask[..., x.shape[-1] // 2 :] = x[:, :1, :, x.shape[-1] // 2 :]
            return {"class": x.mean((2, 3)), "mask": mask}

    x = torch.full((1, 3, 2, 4), -20.0)
    x[0, 0, 0, 0] = 20.0  # a tumour on the left, which it sees in the mirror only
    probability = MirrorAverage(Right())(x)["mask"].sigmoid()[0, 0]
    assert probability[0, 0] == pytest.approx(0.5)
    assert probability.flatten()[1:].max() < 1e-6


def test_mirror_images_get_mirrored_answers_from_the_real_network() -> None:
    network = MirrorAverage(BrainTumorNet().eval())
    assert not network.training
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        out, mirrored = network(x), network(x.flip(-1))
        assert not torch.allclose(network.network(x)["class"], network.network(x.flip(-1))["class"], atol=1e-6)
    torch.testing.assert_close(out["class"], mirrored["class"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out["mask"], mirrored["mask"].flip(-1), atol=1e-4, rtol=1e-4)


def test_a_network_without_masks_gives_none() -> None:
    network = MirrorAverage(ClassifierBaseline("efficientnet_b0").eval())
    with torch.no_grad():
        assert set(network(torch.randn(1, 3, 32, 32))) == {"class"}
