"""A dataset in which one bad file costs one row, not the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from monai.data import Dataset

from braintumor_ext.errors import InputError
from braintumor_ext.keys import IMAGE, SLICE

logger = logging.getLogger(__name__)


class TolerantDataset(Dataset):
    """Apply ``transform`` to each item; where that fails, give a blank image and the error's text.

    Each item it gives holds ``image``, ``index`` (into ``data``) and ``error`` (empty where all went well), so that
    good and bad ones form one batch.

    Args:
        data: items with ``image`` and, for a slice of a volume, ``slice``.
        transform: from such an item to one with an ``image`` tensor; it also takes an array in memory.
    """

    def __init__(self, data: Sequence[dict[str, Any]], transform: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        super().__init__(data=data, transform=None)
        self.preprocessing = transform
        self._blank: Any = None

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Return the item at ``index``, blank if its file is bad."""
        item = self.data[index]
        source = {key: item[key] for key in (IMAGE, SLICE) if key in item}
        try:
            return {IMAGE: self.preprocessing(source)[IMAGE], "index": index, "error": ""}
        except Exception as error:
            return {IMAGE: self._blank_image(), "index": index, "error": describe(error, item["name"])}

    def _blank_image(self) -> Any:
        if self._blank is None:
            # not constant, as a constant image is itself an error
            picture = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
            self._blank = self.preprocessing({IMAGE: picture})[IMAGE]
        return self._blank.clone()


def describe(error: BaseException, name: str) -> str:
    """Return one line that says what is wrong with the input ``name``.

    MONAI wraps a transform's error; the error that says what is wrong is the innermost :class:`InputError`.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return f"{cause.problem}. {cause.remedy}."
        cause = cause.__cause__
    logger.debug("%s could not be read.", name, exc_info=error)
    first = (str(error).splitlines() or [""])[0]
    return f"could not be read ({type(error).__name__}: {first}). Open it in a viewer, or leave it out."
