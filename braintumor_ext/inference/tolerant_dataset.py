"""A dataset in which one bad file costs one row, not the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import Dataset, MetaTensor, list_data_collate
from monai.transforms import Compose

from braintumor_ext.inference.row_errors import describe
from braintumor_ext.keys import ERROR, GREY, IMAGE, INDEX, ITEM, META, SLICE
from braintumor_ext.transforms import LoadImageSlice, ToUnitGrey, ToUnitGreyd

_LISTS = (GREY, ITEM)  # what is no tensor in a batch

FLOAT32_PIXELS = 2**20
"""Larger slices are kept in grey as float16, finer than a picture's 256 levels: in 8 MiB at most, as readers shrink."""


class TolerantDataset(Dataset):
    """Apply ``transform`` to each item; where that fails, give a blank image and the error's text.

    Each item it gives holds ``image``, ``index`` (into ``data``) and ``error`` (empty where all went well), so that
    good and bad ones form one batch.

    Args:
        data: items with ``image`` and, for a slice of a volume, ``slice``.
        transform: from such an item to one with an ``image`` tensor; it also takes an array in memory.
        keep_grey: whether items also hold ``grey``, (H, W) float32 in [0, 1], what
            :class:`~braintumor_ext.transforms.ToUnitGreyd` in the transform, a `Compose`, gave: pictures are drawn from
            it without reading the file again. For another transform the slice is read once more, here. It is float16 of
            slices of more than ``FLOAT32_PIXELS``, and None of what could not be read. Batches are then made by
            :func:`collate_slices`, as slices have several sizes.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        keep_grey: bool = False,
    ) -> None:
        super().__init__(data=data, transform=None)
        self.preprocessing, self.keep_grey = transform, keep_grey
        self._blank: Any = None

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Return the item at ``index``, blank if its file is bad."""
        item = self.data[index]
        source = {key: item[key] for key in (IMAGE, SLICE) if key in item}
        try:
            image, grey, error = *self._prepared(source), ""
        except Exception as problem:
            image, grey, error = self._blank_image(), None, describe(problem, item["name"])
        return {IMAGE: image, INDEX: index, ERROR: error} | ({GREY: grey} if self.keep_grey else {})

    def _prepared(self, source: dict[str, Any]) -> tuple[Any, torch.Tensor | None]:
        """Return the image as the network takes it, and the grey slice that it was made from."""
        transform = self.preprocessing
        if not self.keep_grey:
            return transform(source)[IMAGE], None
        chain = transform if isinstance(transform, Compose) else Compose()
        last = chain.get_index_of_first(lambda step: isinstance(step, ToUnitGreyd))
        if last is None:
            return transform(source)[IMAGE], _kept(ToUnitGrey()(LoadImageSlice()(source[IMAGE], source.get(SLICE))))
        item = chain(source, end=last + 1)
        kept = _kept(item[IMAGE])
        return chain(item, start=last + 1)[IMAGE], kept

    def _blank_image(self) -> Any:
        if self._blank is None:
            # not constant, as a constant image is itself an error
            picture = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
            self._blank = self.preprocessing({IMAGE: picture})[IMAGE]
        return self._blank.clone()


def _kept(grey: MetaTensor) -> torch.Tensor:
    """Return the plane of a slice (1, H, W) to keep: a copy, as a later step may write into it."""
    plane = grey.as_tensor()[0]
    return plane.to(torch.float32 if plane.numel() <= FLOAT32_PIXELS else torch.float16, copy=True)


def collate_slices(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return entries as a batch: the images as one tensor, and their ``meta``, ``grey`` and ``item`` as lists."""

    def plain(entry: dict[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in entry.items() if key not in _LISTS}
        return {key: value.as_tensor() if isinstance(value, MetaTensor) else value for key, value in values.items()}

    batch = list_data_collate([plain(entry) for entry in entries])
    batch[META] = [getattr(entry[IMAGE], "meta", {}) for entry in entries]
    return {**batch, **{key: [entry.get(key) for entry in entries] for key in _LISTS}}
