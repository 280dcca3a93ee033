"""Does a map know the network at all? Its weights are drawn anew, stage by stage, and the map must change."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from monai.metrics import SSIMMetric
from scipy.stats import spearmanr
from torch import Tensor, nn

from braintumor_ext.networks import BrainTumorNet, ReZeroAttention

LIMIT = 0.5  # a map that is still this much like the trained network's, on average, tells little of what was learnt


class Similarity(NamedTuple):
    """How alike two maps of each image are."""

    spearman: np.ndarray  # (B,) rank correlation in [-1, 1]; NaN where a map is the same everywhere
    ssim: np.ndarray  # (B,) structural similarity, at most 1


def similarity(before: Tensor, after: Tensor) -> Similarity:
    """Compare maps, (B, 1, H, W) in [0, 1], by Spearman's rank correlation and by SSIM.

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861. SSIM is MONAI's: an 11-pixel Gaussian window of 1.5, data
    range 1.
    """
    one, other = (maps.detach().float().cpu() for maps in (before, after))
    flat = [bool((a == a.min()).all() or (b == b.min()).all()) for a, b in zip(one, other, strict=True)]
    ranks = [
        float("nan") if same else float(spearmanr(a.flatten().numpy(), b.flatten().numpy()).statistic)
        for a, b, same in zip(one, other, flat, strict=True)
    ]
    structure = SSIMMetric(spatial_dims=2, data_range=1.0, reduction="none")(one, other)
    assert isinstance(structure, Tensor)
    return Similarity(np.array(ranks), structure[:, 0].double().numpy())


def stages_from_the_head(network: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """Return what is randomised together, by name, from the class's head down to the image.

    For a :class:`~braintumor_ext.networks.BrainTumorNet` the classifier, then the encoder's stages, each with the
    attention on it, then the stem; its decoder has no part in the class. For any other network its top-level children
    that have parameters, in reverse order.
    """
    if isinstance(network, BrainTumorNet):
        encoder = network.encoder
        parts = [(n, [encoder.get_submodule(f"{kind}{n}") for kind in ("attention", "layer")]) for n in (4, 3, 2, 1)]
        blocks = [(f"layer{n}", modules) for n, modules in parts]
        return [("classifier", [network.classifier]), *blocks, ("conv1", [encoder.bn1, encoder.conv1])]
    children = list(network.named_children())[::-1]
    return [(name, [child]) for name, child in children if next(child.parameters(), None) is not None]


def cascade(network: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Randomise a copy of a network from the head down, and yield it after each stage: cascading randomisation.

    Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, section 3.1. Weights are drawn by each module's own
    ``reset_parameters``, which also resets batch normalisation's running statistics; the alpha of an attention goes
    back to 0.

    Args:
        seed: of the draws; the global random state is left as it is.

    Yields:
        the stage's name, and the copy, in ``eval`` mode, that stage and all before it randomised. It is one copy
        throughout: use it before the next stage.

    Raises:
        ValueError: some parameters can't be drawn anew: their module has no ``reset_parameters``.
    """
    changed = copy.deepcopy(network).eval()
    stages = stages_from_the_head(changed)
    held = [name for name, _ in network.named_parameters(recurse=False)]
    if held or not stages:
        problem = f"the network's own parameters {held} belong to no stage"
        raise ValueError(f"{problem}: put them into a module of their own.")
    for number, (name, modules) in enumerate(stages):
        for module in modules:
            _reset(module, seed + number)
        yield name, changed


def _reset(module: nn.Module, seed: int) -> None:
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(sorted(devices, key=str)), torch.no_grad():
        torch.manual_seed(seed)
        for part in module.modules():
            if isinstance(part, ReZeroAttention):
                part.alpha.zero_()
            elif callable(reset := getattr(part, "reset_parameters", None)):
                reset()
            elif next(part.parameters(recurse=False), None) is not None:
                raise ValueError(f"{type(part).__name__} has parameters, but no reset_parameters to draw them anew.")
