"""What one image costs each model: measured in turns, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn
from tqdm import tqdm

from studies.comparison.models import ModelConfig


def build_network(model: ModelConfig, bundle_root: Path, settings: Mapping[str, Any]) -> nn.Module:
    """Return a model's network with random weights, as its config makes it."""
    parser = ConfigParser()
    parser.read_config([str(path) for path in model.config_files])
    parser.update({"bundle_root": str(bundle_root), **settings})
    network: nn.Module = parser.get_parsed_content("network_def")
    return network


def milliseconds_per_image(
    models: Sequence[ModelConfig],
    bundle_root: Path,
    settings: Mapping[str, Any],
    image_size: int,
    in_channels: int = 3,
    device: str | torch.device = "cpu",
    rounds: int = 9,
) -> dict[str, float]:
    """Return each model's median time for one image (batch of one, float32), the network alone.

    Args:
        models: what to time.
        bundle_root: the folder of ``configs``.
        settings: ids of the config and their values.
        image_size: the side of the image in pixels.
        in_channels: its channels.
        device: where to run.
        rounds: how often each is timed, one after the other; a first round is not counted.
    """
    device = torch.device(device)
    image = torch.zeros(1, in_channels, image_size, image_size, device=device)
    networks = {m.name: build_network(m, bundle_root, settings).to(device).eval() for m in models}
    taken: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for turn in tqdm(range(rounds + 1), "time per image", leave=False):
            for name, network in networks.items():
                _finish(device)
                started = time.perf_counter()
                network(image)
                _finish(device)
                if turn:
                    taken[name].append(1000 * (time.perf_counter() - started))
    return {name: sorted(times)[len(times) // 2] for name, times in taken.items()}


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
