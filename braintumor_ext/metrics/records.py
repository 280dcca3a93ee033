"""What an evaluation keeps of each slice: everything that the metrics, the tables and the plots are made from."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.files import write_csv
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.segmentation import score_mask
from braintumor_ext.plain_text import csv_text
from braintumor_ext.prediction import Prediction

FLAG_SEPARATOR = "; "


@dataclass(frozen=True, slots=True)
class SliceRecord:
    """One evaluated slice; masks are measured in the input's own grid."""

    image: str  # the path as it is shown to people (with the slice's index for a slice of a volume)
    group: str | None
    true_class: int
    probabilities: tuple[float, ...]  # K class probabilities that sum to 1
    mask_known: bool = False  # whether the true mask is known (possibly empty)
    true_area_px: int = 0  # pixels of the true mask; 0 if it is unknown
    pred_area_px: int = 0  # pixels of the predicted mask, whatever the predicted class
    dice: float = float("nan")  # Dice coefficient in [0, 1]; NaN where undefined
    iou: float = float("nan")
    hd95: float = float("nan")  # 95% Hausdorff distance in ``hd95_unit``; NaN where undefined
    hd95_unit: str = "px"  # ``mm`` where the spacing is known, else ``px``
    spacing: tuple[float, float] | None = None  # (row, column) in mm, None if unknown
    flags: tuple[str, ...] = ()
    mask_predicted: bool = True  # whether the network gives masks at all; if not, none of the values on masks counts

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        image: str,
        group: str | None = None,
        true_class: int = UNKNOWN,
        true_mask: np.ndarray | None = None,
    ) -> SliceRecord:
        """Return the record of a prediction, scored in the slice's own grid.

        Args:
            prediction: of a slice; one without a mask is judged by its class alone.
            true_mask: (H, W) bool; None if unknown.
        """
        shares = prediction.checked().probabilities or {}
        scores: dict[str, Any] = {}
        if true_mask is not None and prediction.mask is not None:
            found = score_mask(prediction.mask, true_mask, prediction.spacing)
            scores = {"dice": found.dice, "iou": found.iou, "hd95": found.hd95, "hd95_unit": found.unit}
        return cls(
            image=image,
            group=group,
            true_class=true_class,
            probabilities=tuple(shares.values()),
            mask_known=bool(scores),
            true_area_px=int(true_mask.sum()) if true_mask is not None and scores else 0,
            pred_area_px=0 if prediction.mask is None else int(prediction.mask.sum()),
            spacing=prediction.spacing,
            flags=prediction.flags,
            mask_predicted=prediction.mask is not None,
            **scores,
        )

    @property
    def predicted_class(self) -> int:
        """The class index of the highest probability."""
        return int(np.argmax(self.probabilities))

    @property
    def confidence(self) -> float:
        """The highest class probability, in [0, 1]."""
        return max(self.probabilities)

    def gated_area_px(self, classes: Classes) -> int:
        """Return the predicted area, or 0 if the predicted class is the one without tumour."""
        return 0 if self.predicted_class == classes.empty_index else self.pred_area_px

    def to_row(self, classes: Classes) -> dict[str, str]:
        """Return the record as a row of ``per_image.csv``; what is unknown or undefined is blank."""
        row_mm, col_mm = self.spacing if self.spacing else (float("nan"), float("nan"))
        return {
            "image": self.image,
            "group": self.group or "",
            "true_class": classes[self.true_class] if self.true_class != UNKNOWN else "",
            "predicted_class": classes[self.predicted_class],
            **{f"p_{name}": _number(p) for name, p in zip(classes, self.probabilities, strict=True)},
            "true_area_px": str(self.true_area_px) if self.mask_known else "",
            "pred_area_px": str(self.pred_area_px) if self.mask_predicted else "",
            "gated_area_px": str(self.gated_area_px(classes)) if self.mask_predicted else "",
            "dice": _number(self.dice),
            "iou": _number(self.iou),
            "hd95": _number(self.hd95),
            "hd95_unit": self.hd95_unit,
            "row_mm": _number(row_mm),
            "col_mm": _number(col_mm),
            "flags": FLAG_SEPARATOR.join(self.flags),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, str], classes: Classes) -> SliceRecord:
        """Return the record that a row of ``per_image.csv`` was written from, as ``csv.DictReader`` gives it."""
        spacing = (_value(row["row_mm"]), _value(row["col_mm"]))
        return cls(
            image=row["image"],
            group=row["group"] or None,
            true_class=classes.index(row["true_class"]) if row["true_class"] else UNKNOWN,
            probabilities=tuple(float(row[f"p_{name}"]) for name in classes),
            mask_known=row["true_area_px"] != "",
            true_area_px=int(row["true_area_px"] or 0),
            pred_area_px=int(row["pred_area_px"] or 0),
            dice=_value(row["dice"]),
            iou=_value(row["iou"]),
            hd95=_value(row["hd95"]),
            hd95_unit=row["hd95_unit"],
            spacing=spacing if np.isfinite(spacing).all() else None,
            flags=tuple(row["flags"].split(FLAG_SEPARATOR)) if row["flags"] else (),
            mask_predicted=row["pred_area_px"] != "",
        )


def write_records(records: Iterable[SliceRecord], path: str | PathLike[str], classes: Classes) -> None:
    """Write one CSV row for each record, whole or not at all."""
    rows = [record.to_row(classes) for record in records]
    write_csv(path, [rows[0] if rows else ["image"], *(row.values() for row in rows)], "\r\n")


def read_records(path: str | PathLike[str], classes: Classes) -> list[SliceRecord]:
    """Read the records of a ``per_image.csv``.

    Raises:
        InputError: a column is missing or a value can't be read.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        try:
            reader = csv.reader(file)
            columns = [csv_text(cell) for cell in next(reader, [])]
            rows = (dict(zip(columns, map(csv_text, cells), strict=True)) for cells in reader)
            return [SliceRecord.from_row(row, classes) for row in rows]
        except (KeyError, ValueError) as error:
            problem = f"not a table of the classes {', '.join(classes)} ({error})"
            raise InputError(path, problem, "give the per_image.csv of an evaluation with these classes") from error


def _number(value: float) -> str:
    """Write a number so that the same number is read back; NaN is blank."""
    return "" if np.isnan(value) else repr(float(value))


def _value(text: str) -> float:
    return float(text) if text else float("nan")
