"""Slices decoded and resized once, in eight bits, in memory or in a file that processes share."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from filelock import FileLock
from monai.data import CacheDataset
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from braintumor_ext.errors import InputError, unwrapped
from braintumor_ext.files import replacing, sha256_of
from braintumor_ext.keys import CLASS, IMAGE, INDEX, ITEM, LABEL, SLICE, UNKNOWN

logger = logging.getLogger(__name__)

UNKNOWN_BYTE = 255
"""What stands for :data:`~braintumor_ext.keys.UNKNOWN` in a mask of bytes."""

_VERSION = 1  # of the files' layout: an older cache is made anew
_PLAIN = (bool, int, float, str, type(None))


class CachedSlices(Dataset):
    """A dataset of slices and masks in bytes, read and resized when it is made, once.

    An item is ``image`` (1, H, W) uint8, 255 times the grey value; ``label`` (1, H, W) uint8 of 0 and 1, or 255
    everywhere where the mask is not known; ``class``, int64, -1 where not known. That is a quarter of the memory of
    float32 and exact for 8-bit files of that size. What is random belongs to the batch:
    :class:`~braintumor_ext.transforms.BatchAugment`.

    Without ``cache_dir`` the slices lie in this process's memory (100 kB each at 224 x 224), which workers share. With
    it they lie in a memory-mapped file there, which all processes and later runs share: memory then holds no more than
    the system can spare. The file is found by a hash of all files' content and of the transform's settings, so that a
    changed image, mask or size is never read from an old one; it appears under its name only once it is whole.
    Files of earlier contents stay until someone deletes the folder.

    Args:
        data: items of a datalist: ``image`` and perhaps ``label`` paths, ``class`` and ``slice``.
        transform: from such an item to ``image`` (1, H, W) in [0, 1] and ``label`` (1, H, W) of 0 and 1 or all -1, of
            one size for all items, without randomness.
        cache_dir: the folder of the shared files; None for memory.
        num_workers: threads that read.
        progress: whether to show a progress bar.

    Raises:
        InputError: when a file cannot be read, or the transform gives slices of several sizes.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[[dict[str, Any]], Mapping[str, Any]],
        cache_dir: str | os.PathLike[str] | None = None,
        num_workers: int | None = 2,
        progress: bool = True,
    ) -> None:
        self.data = data
        self.transform = transform
        self.num_workers, self.progress = max(num_workers or 1, 1), progress
        self.classes = torch.tensor([UNKNOWN if (c := item.get(CLASS)) is None else int(c) for item in data])
        in_memory = partial(np.empty, dtype=np.uint8)
        self.pixels = torch.from_numpy(self._fill(in_memory) if cache_dir is None else self._on_disk(Path(cache_dir)))

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one slice's image, label and class."""
        both = self.pixels[index]
        return {IMAGE: both[:1], LABEL: both[1:], CLASS: self.classes[index]}

    def _decoded(self, item: Mapping[str, Any]) -> np.ndarray:
        """Return an item's image and mask as (2, H, W) bytes."""
        with unwrapped():
            slices = self.transform(dict(item))
        image, label = (torch.as_tensor(slices[key]).as_subclass(Tensor) for key in (IMAGE, LABEL))
        grey = image.mul(255).round_().clamp_(0, 255)
        mask = torch.where(label < 0, float(UNKNOWN_BYTE), label)
        return torch.cat([grey, mask]).to(torch.uint8).numpy()

    def _fill(self, make_array: Callable[[tuple[int, ...]], np.ndarray]) -> np.ndarray:
        """Decode all items into an array (N, 2, H, W) that is made when the size is known."""
        if not self.data:
            return make_array((0, 2, 1, 1))
        first = self._decoded(self.data[0])
        array = make_array((len(self.data), *first.shape))

        def store(index: int) -> None:
            decoded = self._decoded(self.data[index])
            if decoded.shape != first.shape:
                sizes = " and ".join(f"{a.shape[2]} x {a.shape[1]}" for a in (first, decoded))
                problem = f"the slices to cache have several sizes, {sizes}"
                raise InputError(self.data[index][IMAGE], problem, "Resize them in the transform")
            array[index] = decoded

        with ThreadPoolExecutor(self.num_workers) as pool:
            done = pool.map(store, range(len(self.data)))
            for _ in tqdm(done, "Reading slices", len(self.data), disable=not self.progress, leave=False):
                pass
        return array

    def _on_disk(self, folder: Path) -> np.ndarray:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"slices-{self.key()}.npy"
        with FileLock(path.with_suffix(".lock")):  # the other processes wait for the first
            if not path.is_file():
                for left in folder.glob(f".{path.name}.*.partial"):  # by a process that was killed: we have the lock
                    left.unlink(missing_ok=True)
                self._write(path)
        pixels = np.load(path, mmap_mode="c")  # copy on write: what a step writes by mistake never reaches the file
        if pixels.shape[:2] != (len(self.data), 2):
            raise InputError(
                path, f"holds {pixels.shape[0]} slices, not {len(self.data)}", "Delete it: it is made anew"
            )
        return pixels

    def _write(self, path: Path) -> None:
        def make_array(shape: tuple[int, ...]) -> np.ndarray:
            size, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
            if size > free:
                problem = f"the cache of {shape[0]:,} slices takes {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
                raise InputError(path.parent, problem, "Give a --cache_dir on another disk, or --cache_dir none")
            return np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)

        with replacing(path) as unfinished:
            array = self._fill(make_array)
            array.flush()  # type: ignore[attr-defined]
            del array
        logger.info("%d slices are kept in %s.", len(self.data), path)

    def key(self) -> str:
        """Return a hash of the files' content and of the transform's settings."""

        @cache  # several items may be slices of one file
        def content(path: Any) -> str | None:
            try:
                return None if path is None else sha256_of(path)
            except OSError as error:
                raise InputError(path, f"cannot be read ({error.strerror})", "Restore it, or leave it out") from error

        digest = hashlib.sha256(json.dumps([_VERSION, describe(self.transform)]).encode())
        for item in self.data:
            entry = [content(item[IMAGE]), content(item.get(LABEL)), item.get(SLICE)]
            digest.update(json.dumps(entry).encode())
        return digest.hexdigest()[:32]


def describe(component: Any) -> Any:
    """Return a component's class and settings as plain values, equal for components that do the same.

    Generators of random numbers count as nothing: what is cached must not be random. Nor does what belongs to a thread:
    MONAI's transforms gain such an attribute when they are first used.
    """
    if isinstance(component, _PLAIN):
        return component
    if isinstance(component, Mapping):
        return {str(key): describe(value) for key, value in component.items()}
    if isinstance(component, list | tuple):
        return [describe(value) for value in component]
    if isinstance(component, np.ndarray | Tensor):
        return [str(component.dtype), component.tolist()]
    if isinstance(component, np.random.RandomState):
        return None
    if hasattr(component, "__qualname__"):  # a class or a function
        return f"{component.__module__}.{component.__qualname__}"
    attributes = sorted(getattr(component, "__dict__", {}).items())
    settings = {key: describe(value) for key, value in attributes if not isinstance(value, threading.local)}
    return [describe(type(component)), settings]


class IndexedDataset(Dataset):
    """The items of another dataset, each with its ``index`` and the ``item`` of that dataset's data that it is of."""

    def __init__(self, dataset: monai.data.Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the item at ``index``."""
        return {**self.dataset[index], INDEX: index, ITEM: self.dataset.data[index]}


def slice_dataset(
    data: Sequence[Mapping[str, Any]],
    transform: Callable[[dict[str, Any]], Any],
    decode: Callable[[dict[str, Any]], Any],
    pipeline: str = "reference",
    cache_rate: float = 1.0,
    cache_dir: str | os.PathLike[str] | None = None,
    num_workers: int = 2,
    indexed: bool = False,
) -> Dataset:
    """Return the dataset of one of the two pipelines, for use in a config.

    Args:
        data: items of a datalist.
        transform: all of the reference pipeline's transforms, random ones included.
        decode: those of them that read and resize.
        pipeline: ``reference``, MONAI's ``CacheDataset`` with dictionary transforms; ``fast``, :class:`CachedSlices`.
        cache_rate: share of the slices that the reference pipeline keeps in memory; the fast one keeps all.
        cache_dir: see :class:`CachedSlices`; none, or an empty text, for memory.
        num_workers: threads that fill the cache.
        indexed: whether items of the reference pipeline also hold their ``index`` and their ``item`` of the data.

    Raises:
        InputError: when there is no such pipeline, or a file cannot be read.
    """
    if pipeline == "fast":
        folder = None if cache_dir is None or str(cache_dir).lower() in ("", "none") else cache_dir
        return CachedSlices(data, decode, folder, num_workers)
    if pipeline != "reference":
        raise InputError("--pipeline", f"{pipeline!r} is no pipeline", "Give reference or fast")
    dataset = CacheDataset(data, transform, cache_rate=cache_rate, num_workers=num_workers)
    return IndexedDataset(dataset) if indexed else dataset
