"""How many slices a second the input pipelines prepare: the fast one, today's, MONAI's and torchvision's."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandFlipd, RandRotated, RandTorchVisiond
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from braintumor_ext.data import CachedSlices
from braintumor_ext.engines import prepare_slices
from studies.benchmarks.command import main
from studies.benchmarks.record import Row, Table
from studies.benchmarks.timing import in_turns, over

ROOT = Path(__file__).resolve().parents[2]
BATCH = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def slices(count: int, size: int) -> list[dict[str, Any]]:
    """Return slices in memory, each with a mask and a class."""
    random = np.random.default_rng(0)
    images = random.integers(1, 256, (count, size, size), dtype=np.uint8)
    return [{"image": image, "label": image > 200, "class": k % 4} for k, image in enumerate(images)]


class TorchvisionSlices(Dataset):
    """Cached bytes, augmented a slice at a time by torchvision's v2 transforms with the published augmentation."""

    def __init__(self, cached: CachedSlices) -> None:
        self.cached = cached
        self.together = v2.Compose(
            [
                v2.RandomHorizontalFlip(0.5),
                v2.RandomRotation(15, interpolation=v2.InterpolationMode.BILINEAR),
            ]
        )
        self.image_alone = v2.Compose(
            [
                v2.ColorJitter(brightness=0.2, contrast=0.2),
                v2.ToDtype(torch.float32, scale=True),
                v2.RandomErasing(0.5),
                v2.Normalize([MEAN[0]], [STD[0]]),
            ]
        )

    def __len__(self) -> int:
        return len(self.cached)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.cached[index]
        image, mask = self.together(tv_tensors.Image(item["image"]), tv_tensors.Mask(item["label"]))
        return {"image": self.image_alone(image).expand(3, -1, -1), "label": mask.float(), "class": item["class"]}


def pipelines(count: int, size: int, workers: int) -> dict[str, Callable[[], None]]:
    """Return a call for each pipeline that prepares all slices once, up to the network's input.

    Args:
        count: number of slices.
        size: side in pixels.
        workers: processes of the data loaders of all but the fast pipeline, which needs none.
    """
    parser = ConfigParser(ConfigParser.load_config_file(str(ROOT / "configs" / "train.json")))
    parser.update({"bundle_root": str(ROOT), "image_size": size, "device": torch.device("cpu"), "pretrained": False})
    data = slices(count, size)
    decode = parser.get_parsed_content("decode")
    prepare = parser.get_parsed_content("train::prepare_batch")
    cached = CachedSlices(data, decode, progress=False)
    pair = ("image", "label")
    stock = Compose(
        [
            *decode.transforms,
            RandFlipd(pair, prob=0.5, spatial_axis=1),
            RandRotated(pair, range_x=math.pi / 12, prob=1.0, mode=("bilinear", "nearest"), padding_mode="zeros"),
            RandTorchVisiond("image", name="ColorJitter", brightness=0.2, contrast=0.2),
            RandTorchVisiond("image", name="RandomErasing", p=0.5),
            *parser.get_parsed_content("to_network"),
        ]
    )
    reference = CacheDataset(data, parser.get_parsed_content("train::preprocessing"), progress=False)
    monai = CacheDataset(data, stock, progress=False)

    def drain(loader: Iterable[Any], prepared: Callable[[Any], Any]) -> Callable[[], None]:
        def call() -> None:
            for batch in loader:
                prepared(batch)

        return call

    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "num_workers": workers}
    options["persistent_workers"] = workers > 0
    return {
        "fast": drain(DataLoader(cached, batch_size=BATCH, shuffle=True), prepare),
        "reference": drain(DataLoader(reference, **options), prepare),
        "MONAI's stock transforms": drain(DataLoader(monai, **options), prepare_slices),
        "torchvision v2": drain(TorchDataLoader(TorchvisionSlices(cached), **options), prepare_slices),
    }


def run(quick: bool) -> list[Table]:
    """Time the pipelines on one core, and on all."""
    sizes, count = ([32], 32) if quick else ([224], 256)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows = []
    for size in sizes:
        for threads in sorted({1, cores}):
            torch.set_num_threads(threads)
            calls = pipelines(count, size, workers=0 if threads == 1 else threads)
            seconds = in_turns(calls, rounds=3 if quick else 5, budget=12)
            fast = seconds["fast"]
            for name, times in seconds.items():
                rate = [count / time for time in times]
                rows.append(
                    Row(
                        [name, size, threads],
                        {"fast over it": over(times, fast), "slices a second": rate},
                        "" if name == "fast" else "at least 3.00",
                    )
                )
    method = (
        f"{count} slices and masks in memory, decoded already, in batches of {BATCH}: the published augmentation, "
        "normalisation and three channels, up to the network's input on the CPU. On one core nothing uses a second "
        "process; on all, the data loaders have as many workers and the fast pipeline as many threads."
    )
    return [Table("input", "The input pipelines", method, ["pipeline", "pixels", "cores"], rows)]


if __name__ == "__main__":
    sys.exit(main(run))
