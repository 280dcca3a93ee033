"""A comparison of models under the published and the patient-grouped protocol, resumed where it was stopped."""

from __future__ import annotations

import csv
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from studies.comparison.extra_slices import ExtraSlices
from studies.comparison.models import OURS, ModelConfig
from studies.comparison.run_plan import PLAN_JSON, RUN_JSON, RunPlan
from studies.comparison.splits import PROTOCOLS, Split, make_splits, store_split

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where.

    Args:
        items: all images, as :func:`~studies.comparison.splits.all_items` gives them.
        dataset_dir: the prepared data set that they are of.
        output_dir: where splits, runs and tables go.
        bundle_root: the folder of ``configs``.
        models: what to train; the first is the one that differences are measured from.
        classes: those of the items.
        protocols: ``grouped``, ``random`` or both.
        seeds: of splits and trainings.
        folds: K of the grouped cross-validation.
        settings: ids of the config and their values, the same for all models.
        epochs_of: models' names to epochs of their own, such as fewer for one whose epochs take longer.
        machine: ids that do not change what is learnt, such as ``num_workers``.
        section: ``test``, or ``validation`` to choose between recipes without opening a test set.
        extra: slices that a recipe may train on beside each split's own.
    """

    items: Sequence[Mapping[str, Any]]
    dataset_dir: Path
    output_dir: Path
    bundle_root: Path
    models: Sequence[ModelConfig]
    classes: Classes
    protocols: Sequence[str] = PROTOCOLS
    seeds: Sequence[int] = (0,)
    folds: int = 5
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs_of: Mapping[str, int] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    section: str = "test"
    extra: ExtraSlices | None = None

    def splits(self) -> dict[str, list[Split]]:
        """Return each protocol's splits.

        Raises:
            InputError: when there are fewer groups than folds.
        """
        splits = {p: make_splits(self.items, p, self.seeds, self.folds, self.classes) for p in self.protocols}
        if self.extra is None:
            return splits
        return {p: [self.extra.added_to(split) for split in some] for p, some in splits.items()}

    def plans(self, splits: Mapping[str, Sequence[Split]]) -> list[RunPlan]:
        """Return the runs in the order of work: ours under each protocol, then the others under each protocol."""
        ours = [model for model in self.models if model.name == OURS]
        others = [model for model in self.models if model.name != OURS]
        return [
            RunPlan(model, split, self._settings_of(model), self.output_dir / "runs", self.machine)
            for some in (ours, others)
            for protocol in self.protocols
            for model in some
            for split in splits[protocol]
        ]

    def _settings_of(self, model: ModelConfig) -> dict[str, Any]:
        own = {"epochs": self.epochs_of[model.name]} if model.name in self.epochs_of else {}
        return {**self.settings, **own}

    @property
    def sections(self) -> tuple[str, ...]:
        """What each run is evaluated on: the validation always, a test set only where it was asked for."""
        return ("validation",) if self.section == "validation" else ("validation", "test")

    def run(
        self,
        splits: Mapping[str, Sequence[Split]],
        after_each: Callable[[], None] = lambda: None,
        execute: Callable[[Path, str], None] | None = None,
    ) -> list[str]:
        """Carry out every run that is not finished; a run that fails does not keep the others from theirs.

        Several processes may work at one comparison: a run in another's hands is passed over.

        Args:
            splits: of :meth:`splits`.
            after_each: called after every run that was carried out.
            execute: what carries out a plan's file, given its label; :func:`run_process` by default.

        Returns:
            One line for each run that failed.

        Raises:
            InputError: when another comparison's runs of the same name are in ``output_dir``.
        """
        datalists = {
            split.name: store_split(split, self.output_dir / "splits", self.classes)
            for part in splits.values()
            for split in part
        }
        plans = self.plans(splits)
        failures = []
        for number, plan in enumerate(plans, 1):
            label = f"[{number}/{len(plans)}] {plan.model.title}, {plan.split.name}"
            if self.is_finished(plan):
                logger.info("%s: finished before.", label)
                continue
            plan.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(plan.folder / "lock", timeout=0)
            try:
                with lock:
                    if self.is_finished(plan):  # by another process since
                        continue
                    path = plan.write(datalists[plan.split.name], self.dataset_dir, self.bundle_root, self.sections)
                    (execute or run_process)(path, label)
            except filelock.Timeout:
                logger.info("%s: another process is at it.", label)
                continue
            except RunFailed as failed:
                failures.append(f"{label}: {failed}")
                logger.error("%s", failures[-1])
                continue
            after_each()
        return failures

    def is_finished(self, plan: RunPlan) -> bool:
        """Whether a run and all the evaluations that are asked for are there."""
        return plan.finished() is not None and all(plan.records_of(s).is_file() for s in self.sections)


class RunFailed(InputError):
    """A run's process ended with an error."""


def run_process(plan_path: Path, label: str) -> None:
    """Carry out a run in a process of its own; its output goes to ``log.txt`` beside the plan, an epoch a line here.

    Raises:
        RunFailed: when it ends with an error; its log is named.
    """
    folder = plan_path.parent
    history, log = folder / "training" / "history.csv", folder / "log.txt"
    package_root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package_root), os.environ.get("PYTHONPATH", "")])}
    with log.open("ab") as file:
        command = [sys.executable, "-m", "studies.comparison.run", str(plan_path)]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
        try:
            for line in _epochs(history, process):
                logger.info("%s: %s", label, line)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        last = log.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2][-300:]
        raise RunFailed(
            log, f"the run ended with exit status {process.returncode} ({last})", "Mend the cause, then give --resume"
        )


def _epochs(history: Path, process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield a line for each new epoch in ``history.csv`` until the process ends."""
    told = _lines(history)
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        lines = _lines(history)
        yield from lines[len(told) :]
        told = lines


def _lines(history: Path) -> list[str]:
    if not history.is_file():
        return []
    with history.open(newline="", encoding="utf-8") as file:
        return [
            f"epoch {row['epoch']}, loss {float(row['train_loss']):.3f}, "
            f"validation score {float(row.get('val_score') or 'nan'):.3f}, {float(row['seconds']):.0f} s"
            for row in csv.DictReader(file)
        ]


def has_runs(output_dir: Path) -> bool:
    """Whether a comparison was begun in a folder."""
    return any(any(output_dir.glob(f"runs/*/{name}")) for name in (PLAN_JSON, RUN_JSON))
