"""One training of a comparison: what it is made of, and the hash by which a finished one is found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from braintumor_ext.errors import InputError
from braintumor_ext.files import write_json
from studies.comparison.models import ModelConfig
from studies.comparison.splits import Split

RUN_JSON = "run.json"
PLAN_JSON = "plan.json"


@dataclass(frozen=True)
class RunPlan:
    """A model to be trained on a split.

    Args:
        model: what to train.
        split: on what; its seed is the training's too.
        settings: further ids of the config and their values (``epochs``, ``image_size`` ...).
        root: the folder of all runs.
        machine: ids that do not change what is learnt (``num_workers``, ``device``), so no part of the hash.
        stored: the folder of a finished run that stands for it, of :meth:`as_stored`.
    """

    model: ModelConfig
    split: Split
    settings: Mapping[str, Any]
    root: Path
    machine: Mapping[str, Any] = field(default_factory=dict)
    stored: Path | None = None

    @property
    def sha256(self) -> str:
        """Of the configuration's content, the settings and the split: the same run has the same, on any machine."""
        configs = [json.loads(path.read_text(encoding="utf-8")) for path in self.model.config_files]
        parts = [configs, dict(self.settings), self.split.sha256, self.split.seed]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.stored or self.root / f"{self.model.name}-{self.split.name}-{self.sha256[:10]}"

    def as_stored(self) -> RunPlan:
        """Return it with the finished run of its model, split, seed and settings, of whatever state of the configs.

        A table outlives the configs that its runs were trained by: one more id in ``train.json`` changes every hash.

        Raises:
            InputError: there are several, none of them of the configs as they are.
        """
        if self.finished() is not None:
            return self
        wanted = {"settings": dict(self.settings), "random_seed": self.split.seed}
        found = []
        for path in sorted(self.root.glob(f"{self.model.name}-{self.split.name}-*/{RUN_JSON}")):
            done = json.loads(path.read_text(encoding="utf-8"))
            if {key: done.get(key) for key in wanted} == wanted:
                found.append(path.parent)
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise InputError(self.root, f"holds {len(found)} finished runs of one kind ({names})", "Keep one of them")
        return replace(self, stored=found[0]) if found else self

    def finished(self) -> dict[str, Any] | None:
        """Return what ``run.json`` holds; None if the run has not come to its end."""
        path = self.folder / RUN_JSON
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def records_of(self, section: str) -> Path:
        """Return the path of a section's predictions, slice by slice."""
        return self.folder / section / "per_image.csv"

    def write(self, datalist: Path, dataset_dir: Path, bundle_root: Path, sections: tuple[str, ...]) -> Path:
        """Write what the process that trains must know; return the file's path."""
        plan = {
            "model": self.model.name,
            "split": self.split.name,
            "split_sha256": self.split.sha256,
            "sha256": self.sha256,
            "bundle_root": str(bundle_root.resolve()),
            "config_files": [str(path.resolve()) for path in self.model.config_files],
            "dataset_dir": str(dataset_dir.resolve()),
            "datalist": str(datalist.resolve()),
            "random_seed": self.split.seed,
            "sections": list(sections),
            "settings": dict(self.settings),
            "machine": dict(self.machine),
        }
        write_json(self.folder / PLAN_JSON, plan)
        return self.folder / PLAN_JSON
