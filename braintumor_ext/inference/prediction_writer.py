"""What an inference leaves behind: a table, masks and pictures."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import Tensor

from braintumor_ext.data.classes import CLASS_NAMES, EMPTY_CLASS, display_name
from braintumor_ext.files import set_aside
from braintumor_ext.flags import as_bool
from braintumor_ext.inference.decode import class_probabilities, mask_on_grid
from braintumor_ext.keys import IMAGE, SLICE
from braintumor_ext.transforms import read_grey, write_mask, write_volume_mask
from braintumor_ext.visualize import draw_overlay

logger = logging.getLogger(__name__)


class PredictionWriter:
    """Write ``predictions.csv`` and ``.json``, a mask in each input's own grid and an overlay for each slice.

    A handler of the evaluator. Rows stand in the order of the inputs, failed ones with their error; slices of one
    volume share one mask file in the volume's geometry.

    Args:
        output_dir: where to write; tables of an earlier run there are renamed.
        data: the items of the dataset, as :func:`~braintumor_ext.inference.list_inputs` gives them.
        class_names: the class names in the order of their indices.
        empty_class: the class whose masks are empty; None if there is none.
        image_size: the network's input size; smaller inputs are flagged ``upscaled``.
        overlays: whether to draw overlays.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        data: Sequence[Mapping[str, Any]],
        class_names: Sequence[str] = CLASS_NAMES,
        empty_class: str | None = EMPTY_CLASS,
        image_size: int = 224,
        overlays: bool | str = True,
    ) -> None:
        self.folder = Path(output_dir)
        self.data = data
        self.class_names, self.empty_class = list(class_names), empty_class
        self.image_size = image_size
        self.overlays = as_bool(overlays)
        self.rows: dict[int, dict[str, Any]] = {}
        self._volume: tuple[str, dict[int, np.ndarray], Mapping[str, Any], Path] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator made with ``decollate=False``."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write_tables)

    def _start(self, engine: Engine) -> None:
        self.rows = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("predictions.csv", "predictions.json"):
            set_aside(self.folder / name)

    def __call__(self, engine: Engine) -> None:
        """Write the slices of one batch."""
        batch, output = engine.state.batch, engine.state.output["pred"]
        probabilities = class_probabilities(output)
        for position, (index, error) in enumerate(zip(batch["index"].tolist(), batch["error"], strict=True)):
            item = self.data[index]
            if error:
                self.rows[index] = self._failed(item, error)
                logger.warning("%s: %s", item["name"], error)
                continue
            meta = batch_meta(batch[IMAGE].meta, position)
            try:
                self.rows[index] = self._predicted(item, meta, probabilities[position], output, position)
            except OSError as problem:  # a full disk, or an unwritable folder
                self.rows[index] = self._failed(
                    item, f"could not be written ({problem}). Free space or give --output_dir."
                )

    def _predicted(
        self, item: Mapping[str, Any], meta: Mapping[str, Any], probabilities: Tensor, output: Any, position: int
    ) -> dict[str, Any]:
        height, width = (int(v) for v in meta["slice_size"])
        mask = mask_on_grid(output, position, height, width).numpy()
        predicted = self.class_names[int(probabilities.argmax())]
        area = int(mask.sum())
        spacing = [float(v) for v in meta["spacing"]]
        flags = []
        if min(height, width) < self.image_size:
            flags.append("upscaled")
        if self.empty_class is not None and (predicted == self.empty_class) != (area == 0):
            flags.append("class and mask disagree")
        mask_path = self._write_mask(item, mask, meta)
        row = {
            "file": item["name"],
            "slice": item.get(SLICE, ""),
            "class": predicted,
            **{f"p_{name}": round(float(p), 6) for name, p in zip(self.class_names, probabilities, strict=True)},
            "area_px": area,
            "area_mm2": round(area * spacing[0] * spacing[1], 3) if all(map(math.isfinite, spacing)) else "",
            "flags": "; ".join(flags),
            "error": "",
            "mask": mask_path.relative_to(self.folder).as_posix(),
            "overlay": "",
        }
        if self.overlays:
            row["overlay"] = self._draw(item, mask, probabilities, predicted).relative_to(self.folder).as_posix()
        return row

    def _failed(self, item: Mapping[str, Any], error: str) -> dict[str, Any]:
        names = [f"p_{name}" for name in self.class_names]
        row = dict.fromkeys(
            ["file", "slice", "class", *names, "area_px", "area_mm2", "flags", "error", "mask", "overlay"], ""
        )
        return {**row, "file": item["name"], "slice": item.get(SLICE, ""), "error": error}

    def _write_mask(self, item: Mapping[str, Any], mask: np.ndarray, meta: Mapping[str, Any]) -> Path:
        stem = self.folder / "masks" / item["stem"]
        stem.parent.mkdir(parents=True, exist_ok=True)
        if SLICE not in item:
            return write_mask(mask, meta, stem)
        if self._volume is None or self._volume[0] != item["name"]:
            self._volume = (item["name"], {}, meta, stem)
        masks = self._volume[1]
        masks[int(item[SLICE])] = mask
        # a volume's slices follow each other: the last one writes the file
        last = max(int(other[SLICE]) for other in self.data if other["name"] == item["name"])
        path = stem.with_name(stem.name + ".nii.gz")
        return write_volume_mask(masks, meta, stem) if int(item[SLICE]) == last else path

    def _draw(self, item: Mapping[str, Any], mask: np.ndarray, probabilities: Tensor, predicted: str) -> Path:
        name = item["stem"] + (f"_slice{int(item[SLICE]):03d}" if SLICE in item else "")
        path = self.folder / "overlays" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        title = item["name"] + (f", slice {item[SLICE]}" if SLICE in item else "")
        shares = {display_name(name): float(p) for name, p in zip(self.class_names, probabilities, strict=True)}
        draw_overlay(
            read_grey(item[IMAGE], item.get(SLICE)),
            mask,
            path,
            title=f"{title}: {display_name(predicted)}",
            probabilities=shares,
        )
        return path

    def write_tables(self, engine: Engine | None = None) -> None:
        """Write both tables and log a summary."""
        rows = [self.rows[index] for index in sorted(self.rows)]
        with open(self.folder / "predictions.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self._failed({"name": ""}, "")))
            writer.writeheader()
            writer.writerows(rows)
        with open(self.folder / "predictions.json", "w", encoding="utf-8") as file:
            json.dump({"class_names": self.class_names, "predictions": rows}, file, indent=2)
        counts = Counter(display_name(row["class"]) if row["class"] else "failed" for row in rows)
        logger.info("%d slices: %s.", len(rows), ", ".join(f"{n} {name}" for name, n in counts.most_common()))
        logger.info("Table: %s; masks and overlays beside it.", self.folder / "predictions.csv")

    def finish(self) -> None:
        """Leave with exit code 1, and say which, when some inputs could not be predicted."""
        failed = [row for row in self.rows.values() if row["error"]]
        if failed:
            lines = "".join(f"\n  {row['file']}: {row['error']}" for row in failed[:20])
            more = f"\n  ... and {len(failed) - 20} more" if len(failed) > 20 else ""
            raise SystemExit(f"{len(failed)} of {len(self.rows)} inputs could not be predicted:{lines}{more}")


def batch_meta(meta: Mapping[str, Any], position: int) -> dict[str, Any]:
    """Return the metadata of one image of a collated batch."""
    return {key: value[position] if hasattr(value, "__getitem__") else value for key, value in meta.items()}
