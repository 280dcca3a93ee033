"""Reading the next batch while one is predicted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monai.data import DataLoader

from braintumor_ext.inference.threads import side_threads

_END = object()


class ReadAheadLoader(DataLoader):
    """A `monai.data.DataLoader` that without workers reads one batch ahead, in a thread.

    A thread shares the reader's cache of volumes and hands its tensors over as they are, where each worker process
    decodes every volume for itself. `monai.data.ThreadDataLoader` reads ahead as well, but ends as if all were read
    where reading raises; here the error comes out.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches in order."""
        batches = super().__iter__()
        if self.num_workers > 0:
            yield from batches
            return
        with side_threads(1, "reading") as reader:
            coming = reader.submit(next, batches, _END)
            while (batch := coming.result()) is not _END:
                coming = reader.submit(next, batches, _END)
                yield batch
