"""A probe on other data: what a model says of slices from another scanner, hospital or disease."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.inference import Predictor, list_inputs
from braintumor_ext.inference.row_errors import describe
from braintumor_ext.keys import IMAGE, SLICE, UNKNOWN
from braintumor_ext.metrics import SliceRecord
from braintumor_ext.prediction import Prediction
from braintumor_ext.transforms import LoadImageSlice, read_mask
from braintumor_ext.transforms.formats import without_suffix
from braintumor_ext.transforms.found_files import MASKS, find_files
from braintumor_ext.visualize import render_overlay

logger = logging.getLogger(__name__)

MASK_SUFFIX = "_mask"
"""What a mask's name may have behind its image's: ``case01.nii.gz`` and ``case01_mask.nii.gz``."""


@dataclass
class ExternalValidation:
    """What a model said of a folder of slices.

    Args:
        name: the data's name.
        classes: those that the model tells apart.
        healthy: whether all slices are known to be without tumour.
        files: how many image files there are.
        records: one for each slice that could be predicted; ``group`` is the file's name.
        failed: slice to what was wrong with it.
        blank: how many slices of volumes hold one value only; they are left out.
        pictures: drawn predictions about some of the slices, spread evenly.
    """

    name: str
    classes: Classes
    healthy: bool
    files: int = 0
    records: list[SliceRecord] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blank: int = 0
    pictures: list[Image.Image] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return all numbers of the probe as JSON can hold them.

        Slices with a tumour pixel in their true mask are tumour slices; one whose mask is unknown is in neither part.
        ``raw`` is the mask head alone, ``gated`` counts it only where the predicted class has a tumour.
        """
        known = [record for record in self.records if record.mask_known]
        with_tumour = [record for record in known if record.true_area_px > 0]
        return {
            "slices": len(self.records),
            "files": self.files,
            "healthy": self.healthy,
            "mask_unknown": len(self.records) - len(known),
            "blank": self.blank,
            "failed": dict(self.failed),
            "classes": self._classes(self.records),
            "flags": dict(sorted(Counter(flag for record in self.records for flag in record.flags).items())),
            "tumour_slices": self._found(with_tumour),
            "slices_without_tumour": self._false(r for r in known if r.true_area_px == 0),
            "per_file": {
                name: self._found([record for record in with_tumour if record.group == name])
                for name in dict.fromkeys(record.group for record in with_tumour)
                if name is not None
            },
        }

    def _classes(self, records: Sequence[SliceRecord]) -> dict[str, int]:
        counts = Counter(record.predicted_class for record in records)
        return {name: counts[index] for index, name in enumerate(self.classes)}

    def _found(self, records: Sequence[SliceRecord]) -> dict[str, Any] | None:
        """How many tumours were found, by class and by mask, and how well they were outlined."""
        if not records:
            return None
        called = [record.predicted_class != self.classes.empty_index for record in records]
        dice = np.array([record.dice for record in records])
        gated = np.where(called, dice, 0.0)
        return {
            "n": len(records),
            "called_tumour": _share(called),
            "classes": self._classes(records),
            "mask_overlaps": {"raw": _share(dice > 0), "gated": _share(gated > 0)},
            "dice": {
                name: {"mean": float(values.mean()), "median": float(np.median(values))}
                for name, values in (("raw", dice), ("gated", gated))
            },
        }

    def _false(self, records: Iterator[SliceRecord]) -> dict[str, Any] | None:
        """How many slices without tumour are called one, or have a predicted pixel."""
        found = list(records)
        if not found:
            return None
        return {
            "n": len(found),
            "called_without_tumour": _share([record.predicted_class == self.classes.empty_index for record in found]),
            "classes": self._classes(found),
            "any_pixel": {
                "raw": _share([record.pred_area_px > 0 for record in found]),
                "gated": _share([record.gated_area_px(self.classes) > 0 for record in found]),
            },
            "largest_area_px": max(record.pred_area_px for record in found),
        }


def validate_images(
    predictor: Predictor,
    images: str | PathLike[str],
    masks: str | PathLike[str] | None = None,
    healthy: bool = False,
    name: str | None = None,
    pictures: int = 48,
) -> ExternalValidation:
    """Let a model predict all slices of a folder, and compare its masks with the true ones.

    Args:
        predictor: of the checkpoint in question; its flags are kept.
        images: a file or folder of pictures, DICOM slices or NIfTI volumes, of which every slice is taken.
        masks: the folder of the true masks, or the same one: a mask has its image's relative path and stem, with or
            without ``_mask`` behind it, in any format. An image without one has an unknown mask.
        healthy: all slices are known to be without tumour: every mask is empty.
        name: the data's name; None for the folder's.
        pictures: how many predictions are drawn, spread evenly over the slices.

    Raises:
        InputError: there is no image, or masks are given of healthy slices.
    """
    root = Path(images)
    if healthy and masks is not None:
        raise InputError(masks, "masks are given of slices that are said to be healthy", "Give one of the two")
    mask_of = {} if masks is None else _index(Path(masks))
    items = list_inputs(root, "all")
    if not items:
        raise InputError(root, "holds masks only", "Give the folder of the images")
    probe = ExternalValidation(
        name or root.resolve().name,
        predictor.classes,
        healthy,
        files=_files(items),
    )
    drawn = set(np.linspace(0, len(items) - 1, min(pictures, len(items))).round().astype(int).tolist())
    for start in range(0, len(items), predictor.batch_size):
        batch = items[start : start + predictor.batch_size]
        loaded = [_load(probe, item) for item in batch]
        predictions = iter(predictor([image for image in loaded if image is not None]))
        for position, (item, image) in enumerate(zip(batch, loaded, strict=True)):
            if image is not None:
                path = mask_of.get(without_suffix(item["name"]))
                _keep(probe, item, next(predictions), path, start + position in drawn)
    return probe


def _index(masks: Path) -> dict[str, Path]:
    """Return each mask's path by the relative stem of its image; those beside their images go first."""
    found = find_files(masks)
    index: dict[str, Path] = {}
    for path in [*found.files, *found.left_out.get(MASKS, ())]:
        stem = without_suffix(path.relative_to(found.root).as_posix())
        index[stem.removesuffix(MASK_SUFFIX)] = path if stem.endswith(MASK_SUFFIX) else index.get(stem, path)
    return index


def _files(items: Sequence[dict[str, Any]]) -> int:
    return len({item[IMAGE] for item in items})


def _title(item: dict[str, Any]) -> str:
    return item["name"] + (f" slice {item[SLICE]}" if SLICE in item else "")


def _load(probe: ExternalValidation, item: dict[str, Any]) -> Any:
    """Return a slice with its metadata; None where it is blank or cannot be read, which is told."""
    try:
        loaded = LoadImageSlice()(item[IMAGE], item.get(SLICE))
    except Exception as error:
        probe.failed[_title(item)] = describe(error, item["name"])
        return None
    if SLICE in item and bool((loaded == loaded.flatten()[0]).all()):  # volumes are often padded with empty slices
        probe.blank += 1
        return None
    return loaded


def _keep(
    probe: ExternalValidation,
    item: dict[str, Any],
    prediction: Prediction,
    mask: Path | None,
    draw: bool,
) -> None:
    """Add one prediction to the probe."""
    title = _title(item)
    if prediction.error is not None or prediction.mask is None or prediction.probabilities is None:
        probe.failed[title] = str(prediction.error)
        return
    try:
        true = _true_mask(probe, item, mask, prediction.mask.shape)
    except InputError as error:
        probe.failed[title] = str(error)
        return
    empty = probe.classes.empty_index
    true_class = empty if probe.healthy and empty is not None else UNKNOWN
    probe.records.append(SliceRecord.of(prediction, title, item["name"], true_class, true))
    if draw and prediction.image is not None:
        note = "; ".join(prediction.flags) or None
        shown = render_overlay(
            prediction.image, prediction.mask, title, prediction.probabilities, true_mask=true, note=note
        )
        probe.pictures.append(Image.fromarray(shown))


def _true_mask(
    probe: ExternalValidation, item: dict[str, Any], mask: Path | None, shape: tuple[int, ...]
) -> np.ndarray | None:
    """Return a slice's true mask, (H, W) bool; None where it is unknown.

    Raises:
        InputError: the mask cannot be read, or has another size than its slice.
    """
    if probe.healthy:
        return np.zeros(shape, dtype=bool)
    if mask is None:
        return None
    return read_mask(mask, item.get(SLICE), shape)


def _share(values: Sequence[bool] | np.ndarray) -> dict[str, Any]:
    return {"count": int(np.sum(values)), "share": float(np.mean(values))}
