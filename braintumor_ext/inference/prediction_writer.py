"""What an inference leaves behind: a table, masks, pictures and a report."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Events
from monai.engines.workflow import Workflow

from braintumor_ext.calibration.calibration import NOT_CALIBRATED, Calibration
from braintumor_ext.classes import CLASSES, Classes, display_name
from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing, remove_partials, sha256_of, write_text
from braintumor_ext.flags import as_bool
from braintumor_ext.inference.mask_files import SEG_FORMAT, MaskFiles, numbered_stem
from braintumor_ext.inference.prediction_table import PredictionTable
from braintumor_ext.inference.processes import Processes, digest_of, share_slices
from braintumor_ext.inference.row_errors import told_in
from braintumor_ext.inference.run_folder import TABLE, RunFolder
from braintumor_ext.inference.run_record import RunRecord, rows_to_keep
from braintumor_ext.inference.threads import side_threads
from braintumor_ext.keys import INDEX, PREDICTION, SLICE
from braintumor_ext.plain_text import csv_cell, printable
from braintumor_ext.prediction import Prediction
from braintumor_ext.reporting.html_report import read_pictures, write_html_report
from braintumor_ext.visualize import predicted_thumbnail, save_overlay

logger = logging.getLogger(__name__)

JSON_TABLE, REPORT, RECORD = "predictions.json", "report.html", "run.json"
REPORT_PICTURES = 2000
"""The report holds its pictures in the one file: of more slices than this, the later ones have a row without one."""

MOST_AWAITED = 32  # how many slices may be drawn or wait for it at a time; the next batch waits until there are no more

_Written = tuple[dict[str, Any], np.ndarray | None, Mapping[str, Any]]
"""A slice's row, its mask where that shares its file with those of other slices, and its metadata."""


class PredictionWriter:
    """Write ``predictions.csv`` and ``.json``, ``report.html``, and each slice's mask and overlay.

    A handler of an evaluator whose ``postprocessing`` is a :class:`~braintumor_ext.inference.Postprocessor`. Rows stand
    in the order of the inputs, failed ones with their error; a mask lies in its input's own grid, and slices of one
    volume share one mask file in the volume's geometry. What is not known is blank in the CSV and null in the JSON.

    Threads draw and write while the network goes on with the next batch. Each row is added to ``predictions.csv`` once
    its files are there, so that a run that breaks off, even by a kill, leaves the rows so far; ``run.json`` tells what
    they were made with and of, for a run that goes on with them.

    Several processes may share the work, each with a writer of its own. Process 0 leads: it alone locks and prepares
    the folder, and writes the tables and the report. The others add their rows to a table of their own each, and hand
    them over in the end. A run that goes on, with however many processes, finds the rows of all.

    Args:
        output_dir: where to write; tables and the report of an earlier run there are renamed.
        context: what the report says of the run (checkpoint, explanation), name to value.
        output_format: what masks are written as; see :class:`~braintumor_ext.inference.mask_files.MaskFiles`.
        resume: go on with the rows that an earlier run has left in ``output_dir``: :attr:`remaining` tells the slices
            that are still to be predicted. Rows with an error, of inputs that have changed since, or whose files are
            gone, are made anew; so is a volume of which not all slices are there.
        made_with: what rows depend on beside the other arguments, name to value: a resumed run must have the same.
        threads: how many threads draw and write; None for one less than there are cores, 4 at most.
        processes: those that share the work, all with the same other arguments; None for this one alone.

    Raises:
        InputError: there is no such format; or DICOM segmentations are wanted, and highdicom is not installed or the
            metadata cannot be read; or the earlier run was made otherwise; or process 0 is gone, or sees other inputs.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        data: Sequence[Mapping[str, Any]],
        classes: Classes = CLASSES,
        image_size: int = 224,
        overlays: bool | str = True,
        calibration: Calibration | None = None,
        report: bool | str = True,
        context: Mapping[str, Any] | None = None,
        output_format: str | None = None,
        metadata: str | os.PathLike[str] | None = None,
        resume: bool | str = False,
        made_with: Mapping[str, Any] | None = None,
        threads: int | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.folder, self.data, self.processes = Path(output_dir), data, processes or Processes()
        self.classes, self.calibration = classes, calibration
        self.overlays, self.report, self.resume = as_bool(overlays), as_bool(report), as_bool(resume)
        self.context = dict(context or {})
        self.made_with = {**(made_with or {}), "image_size": image_size}
        self.threads = threads or max(1, min(_cores() - 1, 4))
        self._leads = self.processes.rank == 0
        self._place = RunFolder(self.folder, self.processes.rank)
        self.table = PredictionTable(self._place.table, classes)
        self.masks = MaskFiles(self.folder / "masks", output_format, metadata, self.context.get("checkpoint"))
        self.rows: dict[int, dict[str, Any]] = self._kept() if self.resume and self._leads else {}
        self._shares: list[list[int]] = []
        self._own = self._share()
        self._awaited: deque[tuple[int, Future[_Written]]] = deque()
        self._held: deque[dict[str, Any]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._finished = False
        self._told: BaseException | None = None

    @property
    def remaining(self) -> list[int]:
        """The indices into ``data`` of the slices that this process has still to predict."""
        return [index for index in self._own if index not in self.rows]

    def attach(self, engine: Workflow) -> None:
        """Attach to an evaluator made with ``decollate=False`` that postprocesses."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.write_tables)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._interrupted)

    def run(self, engine: Workflow) -> None:
        """Run the evaluator that this is a handler of, unless nothing remains to be predicted."""
        if self.remaining:
            engine.run()

    def _share(self) -> list[int]:
        """Return the slices of this process; process 0 deals them out."""
        if not self._leads:
            return self.processes.share(digest_of(self.data))
        missing = [index for index in range(len(self.data)) if index not in self.rows]
        by_series = self.masks.output_format == SEG_FORMAT
        self._shares = share_slices(self.data, missing, self.processes.size, by_series)
        self.processes.deal(self._shares, digest_of(self.data))
        return self._shares[0]

    # --- the beginning

    def _start(self, engine: Workflow | None = None) -> None:
        if not self._leads:
            self.processes.await_beginning()
        with self._place.taking():
            if self._leads:
                remove_partials(self.folder)
                kept = self._kept() if self.resume else {}
                if kept != self.rows and not self._finished:
                    raise InputError(self.folder, "was changed while this run was starting", "Start it again")
                self.rows = kept
                self._begin_tables()
            else:
                self.table.begin()
        if self._leads:
            self.processes.begin()
        self._pool = side_threads(self.threads, "drawing")
        self._finished = False

    def _begin_tables(self) -> None:
        if self.rows:
            self._keep_pictures()
            for name in (JSON_TABLE, REPORT):  # made anew at the end
                (self.folder / name).unlink(missing_ok=True)
            logger.info("Going on: %d of %d slices are there already.", len(self.rows), len(self.data))
        else:
            self._remove_pictures()
            for path in (*(self.folder / name for name in (TABLE, JSON_TABLE, REPORT)), *self._place.parts()):
                backup_existing(path)
        # The table first: a record of changed inputs must never stand beside rows of what they were.
        self.table.begin(self._rows_in_order())
        self._place.clear_parts()
        self._record.write(self.folder / RECORD)

    def _rows_in_order(self) -> list[dict[str, Any]]:
        return [self.rows[index] for index in sorted(self.rows)]

    @cached_property
    def _record(self) -> RunRecord:
        settings = {
            **self.made_with,
            **self.classes.stored(),
            "checkpoint_sha256": self._checkpoint_sha256,
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "output_format": self.masks.output_format,
            "overlays": self.overlays,
            "report": self.report,
        }
        return RunRecord.of(settings, self.data)

    @cached_property
    def _checkpoint_sha256(self) -> str | None:
        checkpoint = self.context.get("checkpoint")
        return sha256_of(checkpoint) if checkpoint and Path(checkpoint).is_file() else None

    def _kept(self) -> dict[int, dict[str, Any]]:
        """Return the rows of an earlier run that need not be made again, by their indices."""
        if not self.table.path.is_file():
            return {}
        earlier = RunRecord.read(self.folder / RECORD)
        self._record.check_settings(earlier, self.folder)
        tables = [self.table, *(PredictionTable(path, self.classes) for path in self._place.parts())]
        unchanged = self._record.unchanged(earlier)
        return rows_to_keep(self.folder, tables, self.data, unchanged, self.masks.output_format, self.overlays)

    def _keep_pictures(self) -> None:
        """Take the kept rows' pictures out of the report of a run that had ended."""
        try:
            pictures = read_pictures(self.folder / REPORT)
        except (OSError, ValueError):  # it was killed: they lie where it has put them
            return
        there = self.table.read()
        if len(there) != len(pictures):
            return
        positions = {(row["file"], row["slice"]): position for position, row in enumerate(there)}
        for index in self.rows:
            item = self.data[index]
            picture = pictures[positions[csv_cell(item["name"]), item.get(SLICE)]]
            if picture is not None:
                self._save_picture(index, picture)

    def _picture_of(self, index: int) -> Path:
        """Return where a slice's small picture lies, a JPEG file, until the report holds it."""
        return self.folder / ".pictures" / f"{numbered_stem(self.data[index])}.jpg"

    def _save_picture(self, index: int, picture: bytes) -> None:
        path = self._picture_of(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)

    def _remove_pictures(self) -> None:
        shutil.rmtree(self.folder / ".pictures", ignore_errors=True)

    # --- batch by batch

    def __call__(self, engine: Workflow) -> None:
        """Take the slices of one batch."""
        assert self._pool is not None
        self.processes.tell_progress(len(self.rows))
        indices = engine.state.batch[INDEX].tolist()
        for index, prediction in zip(indices, engine.state.output[PREDICTION], strict=True):
            self._settle(MOST_AWAITED - 1)
            self._awaited.append((index, self._pool.submit(self._write, index, prediction)))
        self._settle(MOST_AWAITED)

    def _write(self, index: int, prediction: Prediction) -> _Written:
        """Make a slice's row, and write what it has for itself alone; this runs in a thread."""
        item = self.data[index]
        row, mask = self.table.row(item, prediction), prediction.mask
        if mask is not None:
            with told_in(row, item["name"]):
                row["mask"] = self.masks.write(item, mask, prediction.meta)
            if self.overlays or self.report:
                with told_in(row, item["name"]):
                    self._draw(index, row, prediction)
        return row, mask if row["mask"] is None else None, prediction.meta

    def _draw(self, index: int, row: dict[str, Any], prediction: Prediction) -> None:
        """Draw the slice's overlay, and its picture for the report."""
        item = self.data[index]
        title = item["name"] + (f", slice {item[SLICE]}" if SLICE in item else "")
        shown = replace(prediction, source=title)
        if self.overlays:
            path = self.folder / "overlays" / f"{numbered_stem(item)}.png"
            save_overlay(shown, path)
            row["overlay"] = path.relative_to(self.folder).as_posix()
        if self.report and index < REPORT_PICTURES:
            self._save_picture(index, predicted_thumbnail(shown))

    def _settle(self, most: int) -> None:
        """Take the rows that are there, in the order of the inputs; wait until no more than ``most`` are awaited."""
        while self._awaited and (len(self._awaited) > most or self._awaited[0][1].done()):
            index, future = self._awaited.popleft()
            row, mask, meta = future.result()
            self.rows[index] = row
            item = self.data[index]
            self.masks.begin(item)
            if mask is not None:
                with told_in(row, item["name"]):
                    self.masks.add(row, item, mask, meta)
            if row["error"]:
                logger.warning("%s: %s", printable(item["name"]), row["error"])
            self._held.append(row)
        ready = []
        while self._held and not self.masks.awaits(self._held[0]):
            ready.append(self._held.popleft())
        try:
            self.table.append(ready)
        except OSError as error:
            problem = f"cannot be added to ({error.strerror}); the rows so far are kept"
            raise InputError(self.table.path, problem, "Free space, then go on with --resume true") from error

    # --- the end

    def write_tables(self, engine: Workflow | None = None) -> None:
        """Write the tables and the report, and log a summary; a process that does not lead hands its rows over."""
        self._end(complete=True)

    def _end(self, complete: bool) -> None:
        """Write what there is to write in the end, which may be one before all is done."""
        try:
            self._settle(0)
            self.masks.close()
            self._settle(0)
            self.table.write(self._rows_in_order())  # once more: in their order, and with the masks that came late
            if complete and self.processes.size > 1:
                self._meet()
            results = self._leads and (complete or self.processes.size == 1)
            if results:
                self._write_results()
        except OSError as error:
            problem = f"cannot be written to ({error}); the rows so far are in {self.table.path.name}"
            raise InputError(self.folder, problem, "Free space, then go on with --resume true") from error
        finally:
            self.table.close()
            if self._pool is not None:
                self._pool.shutdown()
            self._pool, self._finished = None, True
            self._place.release()
        if not results:
            return
        rows = self.rows.values()
        counts = Counter("failed" if row["error"] else display_name(row["class"]) for row in rows)
        logger.info("%d slices: %s.", len(rows), ", ".join(f"{n} {name}" for name, n in counts.most_common()))
        what, name = ("report", REPORT) if self.report else ("table", TABLE)
        logger.info("The %s: %s; masks and overlays beside it.", what, self.folder / name)

    def _meet(self) -> None:
        """Hand this process's rows over, or as process 0 take those of all others."""
        if not self._leads:
            self._place.release()  # nothing more is written, and process 0 removes the lock
            self.processes.hand_over(self.rows)
            return
        for rank, share in enumerate(self._shares[1:], start=1):
            rows = self.processes.take_over(rank)
            if sorted(rows) != share:
                problem = f"has predicted {len(rows)} slices, and not the {len(share)} that were its share"
                raise InputError(f"process {rank}", problem, "Go on with --resume true")
            self.rows.update(rows)
        self.table.write(self._rows_in_order())
        self._place.clear_parts()

    def _write_results(self) -> None:
        indices, rows = sorted(self.rows), self._rows_in_order()
        calibration = str(self.calibration or NOT_CALIBRATED)
        content = {"class_names": list(self.classes), "calibration": calibration, "predictions": rows}
        write_text(self.folder / JSON_TABLE, json.dumps(content, indent=2) + "\n")
        if self.report:
            paths = {position: self._picture_of(index) for position, index in enumerate(indices)}
            pictures = {position: path for position, path in paths.items() if path.is_file()}
            facts = self._facts(len(rows))
            write_html_report(self.folder / REPORT, rows, pictures, self.classes, "Predictions", facts)
        self._remove_pictures()

    def _facts(self, count: int) -> dict[str, str]:
        """What the report says of the run as a whole."""
        facts = {name.replace("_", " "): str(value) for name, value in self.context.items() if value is not None}
        if self._checkpoint_sha256 is not None:
            name = Path(self.context["checkpoint"]).name
            facts["checkpoint"] = f"{name}, SHA-256 {self._checkpoint_sha256[:12]}…"
        facts["calibration"] = str(self.calibration or NOT_CALIBRATED)
        facts["date"] = time.strftime("%Y-%m-%d")
        if count > REPORT_PICTURES:
            facts["pictures"] = f"of the first {REPORT_PICTURES:,} slices; all overlays lie in overlays/"
        return facts

    def _interrupted(self, engine: Workflow, error: BaseException) -> None:
        """Keep what is done when a run breaks off; the engine leaves it to its handlers to raise the error."""
        if error is not self._told and self._pool is not None:  # ignite tells of an error once for each of its loops
            self._told = error
            try:
                self._end(complete=False)
            except Exception as second:
                logger.warning("%s", second)
            logger.warning("The run broke off after %d of %d slices.", len(self.rows), len(self.data))
        self.processes.break_off(error)
        raise error

    def finish(self) -> None:
        """Leave with exit code 1, and say which, when some inputs could not be predicted; process 0 tells of all."""
        if not self.remaining and not self._finished:  # nothing was left to predict here, and so no engine has run
            self._start()
            self.write_tables()
        failed = [row for row in self.rows.values() if row["error"]]
        if failed and self._leads:
            lines = "".join(f"\n  {printable(row['file'])}: {row['error']}" for row in failed[:20])
            more = f"\n  ... and {len(failed) - 20} more" if len(failed) > 20 else ""
            raise SystemExit(f"{len(failed)} of {len(self.rows)} inputs could not be predicted:{lines}{more}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
