"""A dataset in which one bad file costs one row, not the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.data import Dataset, MetaTensor, list_data_collate
from monai.transforms import Compose

from braintumor_ext.errors import InputError, causes_of, unreadable
from braintumor_ext.keys import ERROR, GREY, IMAGE, INDEX, META, SLICE
from braintumor_ext.prediction import Prediction
from braintumor_ext.transforms import LoadImageSlice, ToUnitGrey, ToUnitGreyd

logger = logging.getLogger(__name__)

MOST_KEPT_PIXELS = 2**20
"""Larger slices are not kept in grey, lest a batch of them fill the memory: whoever draws them reads them again."""


class TolerantDataset(Dataset):
    """Apply ``transform`` to each item; where that fails, give a blank image and the error's text.

    Each item it gives holds ``image``, ``index`` (into ``data``) and ``error`` (empty where all went well), so that
    good and bad ones form one batch.

    Args:
        data: items with ``image`` and, for a slice of a volume, ``slice``.
        transform: from such an item to one with an ``image`` tensor; it also takes an array in memory.
        keep_grey: whether items also hold ``grey``, (H, W) float32 in [0, 1], what
            :class:`~braintumor_ext.transforms.ToUnitGreyd` in the transform, a `Compose`, gave: pictures are drawn from
            it without reading the file again. It is None of what could not be read, and of slices of more than
            ``MOST_KEPT_PIXELS``. Batches are then made by :func:`collate_slices`, as slices have several sizes.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        keep_grey: bool = False,
    ) -> None:
        super().__init__(data=data, transform=None)
        self.preprocessing = transform
        self.keep_grey = keep_grey
        self._blank: Any = None

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Return the item at ``index``, blank if its file is bad."""
        item = self.data[index]
        source = {key: item[key] for key in (IMAGE, SLICE) if key in item}
        try:
            image, grey = self._prepared(source)
            error = ""
        except Exception as problem:
            image, grey, error = self._blank_image(), None, describe(problem, item["name"])
        return {IMAGE: image, INDEX: index, ERROR: error} | ({GREY: grey} if self.keep_grey else {})

    def _prepared(self, source: dict[str, Any]) -> tuple[Any, torch.Tensor | None]:
        """Return the image as the network takes it, and the grey slice that it was made from."""
        transform = self.preprocessing
        if not self.keep_grey or not isinstance(transform, Compose):
            return transform(source)[IMAGE], None
        last = transform.get_index_of_first(lambda step: isinstance(step, ToUnitGreyd))
        if last is None:
            return transform(source)[IMAGE], None
        item = transform(source, end=last + 1)
        grey = item[IMAGE]
        # A copy: a later step may write into it.
        kept = grey.as_tensor()[0].clone() if grey.shape[-2:].numel() <= MOST_KEPT_PIXELS else None
        return transform(item, start=last + 1)[IMAGE], kept

    def _blank_image(self) -> Any:
        if self._blank is None:
            # not constant, as a constant image is itself an error
            picture = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
            self._blank = self.preprocessing({IMAGE: picture})[IMAGE]
        return self._blank.clone()


def collate_slices(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return entries, each with an ``image``, as a batch: the images as one tensor; ``meta`` and ``grey`` are lists."""
    images = [entry[IMAGE] for entry in entries]
    plain = [
        {key: value.as_tensor() if isinstance(value, MetaTensor) else value for key, value in entry.items()}
        for entry in entries
    ]
    batch = list_data_collate([{key: value for key, value in entry.items() if key != GREY} for entry in plain])
    batch[META] = [getattr(image, "meta", {}) for image in images]
    return {**batch, GREY: [entry.get(GREY) for entry in entries]}


def with_grey(prediction: Prediction, item: Mapping[str, Any]) -> Prediction:
    """Return a prediction with its slice in grey: what the dataset kept, or, where it did not, read again.

    Args:
        prediction: of one slice.
        item: the slice's ``image``, a file or an array, and ``slice``.
    """
    if prediction.image is not None:
        return prediction
    return replace(prediction, image=ToUnitGrey()(LoadImageSlice()(item[IMAGE], item.get(SLICE))).numpy()[0])


def describe(error: BaseException, name: str) -> str:
    """Return one line that says what is wrong with the input ``name``.

    MONAI wraps a transform's error; the error that says what is wrong is the innermost :class:`InputError`.
    """
    found = next((cause for cause in causes_of(error) if isinstance(cause, InputError)), None)
    if found is None:
        logger.debug("%s could not be read.", name, exc_info=error)
        found = unreadable(name, error)
    return f"{found.problem}. {found.remedy}."
