"""Items that know their place in the data, by which handlers find them."""

from __future__ import annotations

from typing import Any

from monai.data import Dataset

from braintumor_ext.keys import INDEX


class IndexedDataset(Dataset):
    """The items of another dataset, each with its ``index``."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(data=range(len(dataset)))
        self.dataset = dataset

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Return the item at ``index``."""
        return {**self.dataset[index], INDEX: index}
