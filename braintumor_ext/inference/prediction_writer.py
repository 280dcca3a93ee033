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
from ignite.engine import Events
from monai.engines.workflow import Workflow
from torch import Tensor

from braintumor_ext.data.classes import CLASS_NAMES, EMPTY_CLASS, display_name, empty_class_of
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing, set_aside
from braintumor_ext.flags import as_bool
from braintumor_ext.inference.decode import class_probabilities, mask_on_grid
from braintumor_ext.inference.mask_files import MaskFiles, unwritable
from braintumor_ext.inference.tolerant_dataset import describe
from braintumor_ext.keys import IMAGE, SLICE
from braintumor_ext.transforms import read_grey
from braintumor_ext.visualize import draw_overlay

logger = logging.getLogger(__name__)


class PredictionWriter:
    """Write ``predictions.csv`` and ``.json``, a mask in each input's own grid and an overlay for each slice.

    A handler of the evaluator. Rows stand in the order of the inputs, failed ones with their error; slices of one
    volume share one mask file in the volume's geometry. What is not known is blank in the CSV and null in the JSON. A
    run that breaks off leaves the rows so far.

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
        self.class_names, self.empty_class = list(class_names), empty_class_of(empty_class, class_names)
        self.image_size = image_size
        self.overlays = as_bool(overlays)
        self.rows: dict[int, dict[str, Any]] = {}
        self.masks = MaskFiles(self.folder / "masks")
        self._told: BaseException | None = None
        shares = [f"p_{name}" for name in self.class_names]
        self.columns = [
            "file",
            "slice",
            "class",
            *shares,
            *("area_px", "area_mm2", "flags", "error", "mask", "overlay"),
        ]

    def attach(self, engine: Workflow) -> None:
        """Attach to an evaluator made with ``decollate=False``."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write_tables)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._interrupted)

    def _start(self, engine: Workflow) -> None:
        self.rows = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("predictions.csv", "predictions.json"):
            set_aside(self.folder / name)

    def __call__(self, engine: Workflow) -> None:
        """Write the slices of one batch."""
        batch, output = engine.state.batch, engine.state.output["pred"]
        probabilities = class_probabilities(output)
        for position, (index, error) in enumerate(zip(batch["index"].tolist(), batch["error"], strict=True)):
            item = self.data[index]
            row = self.rows[index] = self._empty_row(item)
            if error:
                row["error"] = error
                logger.warning("%s: %s", item["name"], error)
                continue
            meta = batch_meta(batch[IMAGE].meta, position)
            height, width = (int(v) for v in meta["slice_size"])
            mask = mask_on_grid(output, position, height, width).numpy()
            self._describe(row, meta, probabilities[position], mask)
            try:
                self.masks.add(row, item, mask, meta)
                if self.overlays:
                    row["overlay"] = self._draw(item, row, mask, probabilities[position])
            except OSError as problem:  # a full disk, or an unwritable folder
                row["error"] = unwritable(problem)
            except InputError as problem:  # the file has changed or gone since it was read
                row["error"] = describe(problem, item["name"])

    def _empty_row(self, item: Mapping[str, Any]) -> dict[str, Any]:
        known = {"file": item["name"], "slice": item.get(SLICE), "flags": "", "error": ""}
        return {**dict.fromkeys(self.columns), **known}

    def _describe(self, row: dict[str, Any], meta: Mapping[str, Any], probabilities: Tensor, mask: np.ndarray) -> None:
        """Fill in what is known of a slice before anything is written."""
        row["class"] = self.class_names[int(probabilities.argmax())]
        row.update((f"p_{n}", round(float(p), 6)) for n, p in zip(self.class_names, probabilities, strict=True))
        row["area_px"] = int(mask.sum())
        pixel = math.prod(float(v) for v in meta["spacing"])
        row["area_mm2"] = round(row["area_px"] * pixel, 3) if math.isfinite(pixel) else None
        flags = []
        if min(mask.shape) < self.image_size:
            flags.append("upscaled")
        if self.empty_class is not None and (row["class"] == self.empty_class) != (row["area_px"] == 0):
            flags.append("class and mask disagree")
        row["flags"] = "; ".join(flags)

    def _draw(self, item: Mapping[str, Any], row: Mapping[str, Any], mask: np.ndarray, probabilities: Tensor) -> str:
        name = item["stem"] + (f"_slice{int(item[SLICE]):03d}" if SLICE in item else "")
        path = self.folder / "overlays" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        title = item["name"] + (f", slice {item[SLICE]}" if SLICE in item else "")
        draw_overlay(
            read_grey(item[IMAGE], item.get(SLICE)),
            mask,
            path,
            title=f"{title}: {display_name(row['class'])}",
            probabilities={n: float(p) for n, p in zip(self.class_names, probabilities, strict=True)},
            note=row["flags"] or None,
        )
        return path.relative_to(self.folder).as_posix()

    def write_tables(self, engine: Workflow | None = None) -> None:
        """Write both tables and log a summary."""
        self.masks.close()
        rows = [self.rows[index] for index in sorted(self.rows)]
        with (
            replacing(self.folder / "predictions.csv") as partial,
            open(partial, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=self.columns)
            writer.writeheader()
            writer.writerows(rows)
        with replacing(self.folder / "predictions.json") as partial:
            content = {"class_names": self.class_names, "predictions": rows}
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        counts = Counter("failed" if row["error"] else display_name(row["class"]) for row in rows)
        logger.info("%d slices: %s.", len(rows), ", ".join(f"{n} {name}" for name, n in counts.most_common()))
        logger.info("Table: %s; masks and overlays beside it.", self.folder / "predictions.csv")

    def _interrupted(self, engine: Workflow, error: BaseException) -> None:
        """Keep what is done when a run breaks off; the engine leaves it to its handlers to raise the error."""
        if error is not self._told:  # ignite tells of an error once for each of its loops
            self._told = error
            logger.warning("The run broke off after %d of %d slices.", len(self.rows), len(self.data))
            self.write_tables()
        raise error

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
