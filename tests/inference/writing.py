"""The writer behind a real engine; what the network would give is computed from the picture itself."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose, Resized

from braintumor_ext.inference import (
    Postprocessor,
    PredictionWriter,
    ReadAheadLoader,
    TolerantDataset,
    collate_slices,
    list_inputs,
)
from braintumor_ext.transforms import LoadImageSliced, ToUnitGreyd

SIZE = 32
LOGITS = torch.tensor([3.0, 1.0, 0.0, -1.0])


def bright(batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Outline what is brighter than a half; call it glioma, or no tumour where there is nothing."""
    mask = (batch - 0.5) * 50
    empty = (mask > 0).flatten(1).sum(dim=1, keepdim=True) == 0
    return {"class": torch.where(empty, LOGITS.flip(0), LOGITS), "mask": mask}


def with_heat(batch: torch.Tensor) -> dict[str, Any]:
    """``bright``, with a heat map that rises from left to right, and a flag on it."""
    ramp = torch.linspace(0, 1, SIZE).expand(len(batch), 1, SIZE, SIZE)
    return {**bright(batch), "heat_map": ramp, "heat_map_flags": ["constant heat map"] * len(batch)}


def run(
    path: Path,
    output: Path,
    slices: Any = None,
    batch_size: int = 3,
    hook: Callable | None = None,
    network: Callable[[torch.Tensor], dict[str, Any]] = bright,
    **settings: Any,
) -> PredictionWriter:
    """Predict the slices of a file or folder with ``bright``."""
    data = list_inputs(path, slices, exclude=output)
    chain = [LoadImageSliced("image"), ToUnitGreyd("image"), Resized("image", spatial_size=(SIZE, SIZE))]
    writer = PredictionWriter(output, data, image_size=SIZE, **settings)
    known = {name: settings[name] for name in ("classes", "calibration") if name in settings}
    postprocessor = Postprocessor(image_size=SIZE, **known)
    engine = Engine(lambda _, batch: postprocessor({**batch, "pred": network(batch["image"])}))
    writer.attach(engine)
    if hook is not None:
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), hook)
    dataset = TolerantDataset(data, Compose(chain), keep_grey=True)
    order = writer.remaining
    if order:
        engine.run(ReadAheadLoader(dataset, batch_size=batch_size, sampler=order, collate_fn=collate_slices))
    return writer


def table(output: Path, name: str = "predictions.csv") -> list[dict[str, str]]:
    with open(output / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def block(height: int = 40, width: int = 48) -> np.ndarray:
    image = np.full((height, width), 30, dtype=np.uint8)
    image[0, 0] = 40
    image[8:20, 24:40] = 240
    return image


def write_volume(path: Path, slices: int = 4, bad: tuple[int, ...] = ()) -> np.ndarray:
    """Write a volume with a bright block that moves from slice to slice; bad slices are NaN. Return the block."""
    volume = np.full((40, 48, slices), 30, dtype=np.float32)
    volume[0, 0] = 0
    block = np.zeros(volume.shape, dtype=bool)
    for index in range(slices):
        block[8 : 20 + index, 4 + 6 * index : 20 + 6 * index, index] = True
    volume[block] = 240
    for index in bad:
        volume[:, :, index] = np.nan
        block[:, :, index] = False
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-0.5, 2.0, 5.0, 1.0])), path)
    return block


def overlap(found: np.ndarray, wanted: np.ndarray) -> float:
    return 2 * (found & wanted).sum() / max(found.sum() + wanted.sum(), 1)


def volume_mask(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj) > 0
