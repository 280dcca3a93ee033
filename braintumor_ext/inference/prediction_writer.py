"""What an inference leaves behind: a table, masks, pictures and a report."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.engines.workflow import Workflow
from torch import Tensor

from braintumor_ext.calibration.calibration import NOT_CALIBRATED, Calibration
from braintumor_ext.data.classes import CLASS_NAMES, EMPTY_CLASS, display_name
from braintumor_ext.errors import InputError
from braintumor_ext.files import replacing, set_aside, sha256_of
from braintumor_ext.flags import as_bool
from braintumor_ext.inference.decode import AnswerDecoder
from braintumor_ext.inference.mask_files import MaskFiles, numbered_stem, unwritable
from braintumor_ext.inference.prediction import Prediction
from braintumor_ext.inference.tolerant_dataset import describe
from braintumor_ext.keys import GREY, IMAGE, SLICE
from braintumor_ext.transforms import read_grey
from braintumor_ext.visualize import render_thumbnail, write_html_report

logger = logging.getLogger(__name__)

TABLES = ("predictions.csv", "predictions.json", "report.html")
REPORT_PICTURES = 2000
"""The report holds its pictures in the one file: of more slices than this, the later ones have a row without one."""


class PredictionWriter:
    """Write ``predictions.csv`` and ``.json``, ``report.html``, and each slice's mask and overlay.

    A handler of the evaluator. Rows stand in the order of the inputs, failed ones with their error; a mask lies in its
    input's own grid, and slices of one volume share one mask file in the volume's geometry. What is not known is blank
    in the CSV and null in the JSON. A run that breaks off leaves the rows so far.

    Args:
        output_dir: where to write; tables and the report of an earlier run there are renamed.
        data: the items of the dataset, as :func:`~braintumor_ext.inference.list_inputs` gives them.
        class_names: the class names in the order of their indices.
        empty_class: the class whose masks are empty; None if there is none.
        image_size: the network's input size; smaller inputs are flagged ``upscaled``.
        overlays: whether to draw overlays.
        calibration: temperature and thresholds; None leaves the probabilities as the network gives them.
        report: whether to write ``report.html``.
        context: what the report says of the run (checkpoint, explanation), name to value.
        output_format: what masks are written as: ``png``, ``nifti``, ``dicom_seg``; None for each input's own format
            (see :class:`~braintumor_ext.inference.mask_files.MaskFiles`).
        metadata: the bundle's ``metadata.json``, which DICOM segmentations tell of.

    Raises:
        InputError: there is no such format; or DICOM segmentations are wanted, and highdicom is not installed or the
            metadata cannot be read.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        data: Sequence[Mapping[str, Any]],
        class_names: Sequence[str] = CLASS_NAMES,
        empty_class: str | None = EMPTY_CLASS,
        image_size: int = 224,
        overlays: bool | str = True,
        calibration: Calibration | None = None,
        report: bool | str = True,
        context: Mapping[str, Any] | None = None,
        output_format: str | None = None,
        metadata: str | os.PathLike[str] | None = None,
    ) -> None:
        self.folder = Path(output_dir)
        self.data = data
        self.class_names, self.calibration = list(class_names), calibration
        self.decode = AnswerDecoder(class_names, empty_class, image_size, calibration)
        self.overlays, self.report = as_bool(overlays), as_bool(report)
        self.context = dict(context or {})
        self.rows: dict[int, dict[str, Any]] = {}
        self.pictures: dict[int, bytes] = {}
        self.masks = MaskFiles(self.folder / "masks", output_format, metadata, self.context.get("checkpoint"))
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
        self.rows, self.pictures = {}, {}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            set_aside(self.folder / name)

    def __call__(self, engine: Workflow) -> None:
        """Write the slices of one batch."""
        batch, output = engine.state.batch, engine.state.output["pred"]
        for position, (index, error) in enumerate(zip(batch["index"].tolist(), batch["error"], strict=True)):
            item = self.data[index]
            row = self.rows[index] = self._empty_row(item)
            if error:
                row["error"] = error
                logger.warning("%s: %s", item["name"], error)
                continue
            meta = batch_meta(batch[IMAGE].meta, position)
            prediction = self.decode(output, position, meta)
            self._describe(row, meta, prediction)
            assert prediction.mask is not None
            with _told_in(row):
                self.masks.add(row, item, prediction.mask, meta)
            if self.overlays or self.report:
                with _told_in(row):
                    self._draw(index, row, prediction, batch[GREY][position] if GREY in batch else None)

    def _empty_row(self, item: Mapping[str, Any]) -> dict[str, Any]:
        known = {"file": item["name"], "slice": item.get(SLICE), "flags": "", "error": ""}
        return {**dict.fromkeys(self.columns), **known}

    def _describe(self, row: dict[str, Any], meta: Mapping[str, Any], prediction: Prediction) -> None:
        """Fill in what is known of a slice before anything is written."""
        assert prediction.probabilities is not None
        assert prediction.mask is not None
        row["class"] = prediction.label
        row.update((f"p_{name}", round(share, 6)) for name, share in prediction.probabilities.items())
        row["area_px"] = int(prediction.mask.sum())
        pixel = math.prod(float(v) for v in meta["spacing"])
        row["area_mm2"] = round(row["area_px"] * pixel, 3) if math.isfinite(pixel) else None
        row["flags"] = "; ".join(prediction.flags)

    def _draw(self, index: int, row: dict[str, Any], prediction: Prediction, grey: Tensor | None) -> None:
        """Draw the slice's overlay, and its picture for the report."""
        item = self.data[index]
        image = read_grey(item[IMAGE], item.get(SLICE)) if grey is None else grey.numpy()
        if self.overlays:
            path = self.folder / "overlays" / f"{numbered_stem(item)}.png"
            title = item["name"] + (f", slice {item[SLICE]}" if SLICE in item else "")
            replace(prediction, source=title, image=image).save_overlay(path)
            row["overlay"] = path.relative_to(self.folder).as_posix()
        if self.report and len(self.pictures) < REPORT_PICTURES:
            assert prediction.mask is not None
            self.pictures[index] = render_thumbnail(image, prediction.mask, prediction.heat_map)

    def write_tables(self, engine: Workflow | None = None) -> None:
        """Write the tables and the report, and log a summary."""
        self.masks.close()
        indices = sorted(self.rows)
        rows = [self.rows[index] for index in indices]
        with (
            replacing(self.folder / "predictions.csv") as partial,
            open(partial, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=self.columns)
            writer.writeheader()
            writer.writerows(rows)
        with replacing(self.folder / "predictions.json") as partial:
            calibration = str(self.calibration or NOT_CALIBRATED)
            content = {"class_names": self.class_names, "calibration": calibration, "predictions": rows}
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        if self.report:
            pictures = {indices.index(index): picture for index, picture in self.pictures.items()}
            facts = self._facts(len(rows))
            write_html_report(self.folder / "report.html", rows, pictures, self.class_names, "Predictions", facts)
        counts = Counter("failed" if row["error"] else display_name(row["class"]) for row in rows)
        logger.info("%d slices: %s.", len(rows), ", ".join(f"{n} {name}" for name, n in counts.most_common()))
        what = "report" if self.report else "table"
        logger.info("The %s: %s; masks and overlays beside it.", what, self.folder / TABLES[2 if self.report else 0])

    def _facts(self, count: int) -> dict[str, str]:
        """What the report says of the run as a whole."""
        facts = {name.replace("_", " "): str(value) for name, value in self.context.items() if value is not None}
        checkpoint = self.context.get("checkpoint")
        if checkpoint and Path(checkpoint).is_file():
            facts["checkpoint"] = f"{Path(checkpoint).name}, SHA-256 {sha256_of(checkpoint)[:12]}…"
        facts["calibration"] = str(self.calibration or NOT_CALIBRATED)
        facts["date"] = time.strftime("%Y-%m-%d")
        if count > REPORT_PICTURES:
            facts["pictures"] = f"of the first {REPORT_PICTURES:,} slices; all overlays lie in overlays/"
        return facts

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


@contextmanager
def _told_in(row: dict[str, Any]) -> Iterator[None]:
    """Tell in a slice's row what could not be written of it; what else there is of it goes on."""
    try:
        yield
    except OSError as problem:  # a full disk, or an unwritable folder
        row["error"] = unwritable(problem)
    except InputError as problem:  # the file has changed or gone since it was read, or lacks what its mask needs
        row["error"] = describe(problem, row["file"])


def batch_meta(meta: Mapping[str, Any], position: int) -> dict[str, Any]:
    """Return the metadata of one image of a collated batch."""
    return {key: value[position] if hasattr(value, "__getitem__") else value for key, value in meta.items()}
