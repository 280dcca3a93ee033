"""The extra slices that each split of a comparison may train on: those that give nothing of its other sections away."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.classes import Classes
from braintumor_ext.data.compact import write_bit_mask
from braintumor_ext.data.extra import ExtraPool, choose_extra, read_extra
from braintumor_ext.data.folder_scan import FoundSlice
from braintumor_ext.data.inspection import InspectedSlice, inspect_slices
from braintumor_ext.data.split import SECTIONS
from braintumor_ext.files import replacing
from braintumor_ext.keys import CLASS, GROUP, IMAGE, LABEL
from studies.comparison.splits import Split, short_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtraSlices:
    """Choose extra slices for one split after another, as ``prepare_data --extra`` does for the one that it makes.

    Args:
        images: the folder of extra slices, as ``prepare_data --extra`` takes it.
        masks: the folder of their masks.
        groups: the table of their groups.
        items: the data set's own, with absolute paths.
        dataset_dir: the prepared data set, whose report tells which given groups are one there.
        output_dir: where choices and empty masks go; a choice that is there is not made again.
        classes: those of the items.
    """

    images: Path
    masks: Path | None
    groups: Path | None
    items: Sequence[Mapping[str, Any]]
    dataset_dir: Path
    output_dir: Path
    classes: Classes

    def added_to(self, split: Split) -> Split:
        """Return the split with a section ``extra``, of which its hash tells.

        Raises:
            InputError: when a slice of the data set, or a folder of the extra ones, cannot be read.
        """
        path = self.output_dir / f"{split.name}-{split.sha256[:10]}.json"
        if not path.is_file():
            logger.info("%s: looking for the extra slices that give nothing away ...", split.name)
            chosen, facts = choose_extra(self._pool, self._divided(split), self._joined)
            content = {"items": [self._item(slice_) for slice_ in chosen], "facts": facts}
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial:
                partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
        return split.with_extra(json.loads(path.read_text(encoding="utf-8"))["items"])

    @cached_property
    def _pool(self) -> ExtraPool:
        return read_extra(self.images, self.masks, self.groups, self.classes)

    @cached_property
    def _joined(self) -> list[list[str]]:
        report = json.loads((self.dataset_dir / "data_report.json").read_text(encoding="utf-8"))
        return report["groups"]["joined"]

    @cached_property
    def _own(self) -> dict[str, InspectedSlice]:
        """The data set's own slices by path."""
        names = short_names(self.items)
        slices, unusable = inspect_slices(
            [
                FoundSlice(name, Path(item[IMAGE]), name, self.classes[item[CLASS]])
                for name, item in zip(names, self.items, strict=True)
            ]
        )
        if unusable:
            raise unusable[0]
        return {item[IMAGE]: slice_ for item, slice_ in zip(self.items, slices, strict=True)}

    def _divided(self, split: Split) -> list[InspectedSlice]:
        """Return the data set's own slices with the groups and sections that a split gives them."""
        return [
            replace(self._own[item[IMAGE]], group=item.get(GROUP, item[IMAGE]), section=section)
            for section in SECTIONS
            for item in split.sections[section]
        ]

    def _item(self, slice_: InspectedSlice) -> dict[str, Any]:
        """Return a chosen slice's item, with absolute paths; an empty mask is written."""
        mask = slice_.mask
        if slice_.class_name == self.classes.empty:
            mask = self.output_dir / "empty_masks" / f"{slice_.sha256[:16]}.png"
            write_bit_mask(np.zeros((slice_.properties.height, slice_.properties.width), dtype=bool), mask)
        known: dict[str, Any] = {} if mask is None else {LABEL: os.path.abspath(mask)}
        known[CLASS] = self.classes.index(slice_.class_name)
        return {IMAGE: os.path.abspath(slice_.found.path), **known, GROUP: slice_.group}
