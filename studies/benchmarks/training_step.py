"""A step of training as the configs make it, on a random batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor
from torch.utils.data import default_collate

from braintumor_ext.keys import CLASS, IMAGE, LABEL
from studies.comparison import choose_models

ROOT = Path(__file__).resolve().parents[2]
Batch = tuple[Tensor, dict[str, Tensor]]
"""Images (B, 3, H, W) and the truth: ``class`` (B,) and ``label`` (B, 1, H, W)."""


class TrainingStep:
    """Forward, loss, backward, clipping and update; network, loss and optimizer are those of ``train.json``.

    Args:
        model: ``ours``, or the name of an overlay in ``configs/baselines`` or ``configs/recipes``.
        settings: ids of the config and their values. ``pretrained`` is off unless it is among them.
        overlays: further config files.
    """

    def __init__(
        self, model: str = "ours", settings: Mapping[str, Any] | None = None, overlays: Sequence[Path] = ()
    ) -> None:
        (config,) = choose_models(ROOT, [model])
        parser = ConfigParser(ConfigParser.load_config_files([str(p) for p in (*config.config_files, *overlays)]))
        parser.update({"bundle_root": str(ROOT), "pretrained": False, **(settings or {})})
        names = ("network", "loss", "optimizer", "amp", "train::prepare_batch")
        content = (parser.get_parsed_content(name) for name in names)
        self.network, self.loss, self.optimizer, self.amp, self.prepare = content
        self.device = next(self.network.parameters()).device
        self.kind = torch.float16 if self.device.type == "cuda" else torch.bfloat16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp and self.device.type == "cuda")
        self.network.train()

    def batch(self, batch_size: int, size: int) -> Batch:
        """Return a random batch.

        Args:
            batch_size: B.
            size: H and W in pixels.
        """
        images = torch.randn(batch_size, 3, size, size, device=self.device).to(memory_format=torch.channels_last)
        mask = torch.rand(batch_size, 1, size, size, device=self.device) > 0.9
        return images, {"class": torch.randint(0, 4, (batch_size,), device=self.device), "label": mask.float()}

    def with_fast_pipeline(self, batch_size: int, size: int) -> Callable[[], None]:
        """Return a call that collects a batch from cached bytes, augments it and makes a step on it.

        Args:
            batch_size: B.
            size: H and W in pixels.
        """
        pixels = torch.randint(0, 256, (8 * batch_size, 2, size, size), dtype=torch.uint8)
        pixels[:, 1] = pixels[:, 1] > 230
        data = [{IMAGE: both[:1], LABEL: both[1:], CLASS: torch.tensor(k % 4)} for k, both in enumerate(pixels)]

        def call() -> None:
            picked = torch.randint(len(data), (batch_size,)).tolist()
            self(self.prepare(default_collate([data[index] for index in picked]), self.device))

        return call

    def __call__(self, batch: Batch) -> None:
        """Make one step on a batch."""
        images, truth = batch
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, dtype=self.kind, enabled=self.amp):
            output = self.network(images)
        value = self.loss({name: logits.float() for name, logits in output.items()}, truth)
        self.scaler.scale(value).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
