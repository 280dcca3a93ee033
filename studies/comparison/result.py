"""A comparison's outcome so far, from the files of its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from braintumor_ext.data.datalist import shown_name
from braintumor_ext.engines.provenance import hardware, provenance
from braintumor_ext.errors import InputError
from braintumor_ext.keys import IMAGE
from braintumor_ext.metrics import SliceRecord, read_records
from studies.comparison.comparison import Comparison
from studies.comparison.model_runs import ModelRuns, Run
from studies.comparison.models import ModelConfig
from studies.comparison.run_plan import RunPlan
from studies.comparison.splits import Split, portable_names
from studies.comparison.summary import summarise_protocol
from studies.comparison.trivial_baseline_runs import measure_slices, trivial_baseline_runs
from studies.group_sources import describe_grouping


class ComparisonResult:
    """Reads what runs have left and summarises it; the baselines are measured once.

    Args:
        comparison: what is compared.
        splits: its splits.
        context: what else the report says of the comparison.
        n_draws: draws of the bootstraps.
        group_sources: how each image's group is known, of :func:`~studies.group_sources.read_group_sources`.
        training: names of the models that are trained now, by the configs as they are; of the others a run counts
            whatever has become of the configs since.

    Raises:
        InputError: of a run by such other configs there are several, or its slices are not the split's.
    """

    def __init__(
        self,
        comparison: Comparison,
        splits: Mapping[str, Sequence[Split]],
        context: Mapping[str, Any] | None = None,
        n_draws: int = 2000,
        group_sources: Mapping[str, str] | None = None,
        training: Collection[str] = (),
    ) -> None:
        self.comparison, self.splits = comparison, splits
        self.grouping = describe_grouping([item[IMAGE] for item in comparison.items], group_sources)
        self.context, self.n_draws = dict(context or {}), n_draws
        self.milliseconds: Mapping[str, float] = {}
        """Each model's time for one image, once it has been measured."""
        self.plans = [plan if plan.model.name in training else plan.as_stored() for plan in comparison.plans(splits)]
        self.names = portable_names(comparison.items, comparison.dataset_dir)
        for plan in self.plans:
            if plan.stored is not None:
                self._check_slices(plan)
        found = measure_slices(comparison.items, comparison.dataset_dir)
        place, section, count = comparison.dataset_dir, comparison.section, len(comparison.classes)
        self.trivial_baselines = {
            protocol: [
                self._renamed(baseline) for baseline in trivial_baseline_runs(part, found, place, section, count)
            ]
            for protocol, part in splits.items()
        }

    def trained_models(self) -> list[ModelConfig]:
        """Return the models of which at least one run is finished."""
        names = {plan.model.name for plan in self.plans if self.comparison.is_finished(plan)}
        return [model for model in self.comparison.models if model.name in names]

    def summarise(self) -> dict[str, Any]:
        """Return what ``comparison.json`` holds.

        Hardware and torch are those of the trainings: the table may be made elsewhere.
        """
        asked = self.comparison
        runs = [done for plan in self.plans if self.comparison.is_finished(plan) and (done := plan.finished())]
        earlier = sum(plan.stored is not None for plan in self.plans)
        of_runs = {key: sorted({done[key] for done in runs}) for key in ("hardware", "torch") if runs}
        return {
            "title": f"Comparison of models on {asked.dataset_dir.resolve().name}",
            "context": {
                "section": asked.section,
                "folds": asked.folds,
                "seeds": list(asked.seeds),
                **asked.settings,
                **({"epochs_of": [f"{n} {e}" for n, e in asked.epochs_of.items()]} if asked.epochs_of else {}),
                **self.context,
                **provenance({}),
                **of_runs,
                **({"runs_by_earlier_configs": earlier} if earlier else {}),
                **({"time_per_image_on": hardware()} if self.milliseconds else {}),
            },
            **asked.classes.stored(),
            "protocols": {protocol: self._protocol(protocol) for protocol in self.splits},
        }

    def _protocol(self, protocol: str) -> dict[str, Any]:
        asked = self.comparison
        trained = [self._model_runs(protocol, model.name) for model in asked.models]
        models = [*trained, *self.trivial_baselines[protocol]]
        summary = summarise_protocol(protocol, models, asked.classes, self.n_draws)
        for row in summary["rows"]:
            if row["cost"] is not None:
                row["cost"]["milliseconds_per_image"] = self.milliseconds.get(row["model"])
        extra = {"grouping": self.grouping} if protocol == "grouped" else {}
        return {**summary, **extra, "splits": [split.describe() for split in self.splits[protocol]]}

    def _model_runs(self, protocol: str, name: str) -> ModelRuns:
        plans = [plan for plan in self.plans if plan.model.name == name and plan.split.protocol == protocol]
        runs = [self._run(plan) for plan in plans if self.comparison.is_finished(plan)]
        return ModelRuns(name, plans[0].model.title, "network", len(plans), runs)

    def _run(self, plan: RunPlan) -> Run:
        classes, section = self.comparison.classes, self.comparison.section
        done = plan.finished()
        assert done is not None
        validation = read_records(plan.records_of("validation"), classes) if section != "validation" else None
        records = self._portable(read_records(plan.records_of(section), classes))
        return Run(
            plan.split.name, plan.split.seed, plan.split.fold, records, validation, done["cost"], done["hardware"]
        )

    def _check_slices(self, plan: RunPlan) -> None:
        """Raise where a run found without its hash predicted other slices than its split's."""
        place, section = self.comparison.dataset_dir, self.comparison.section
        split = {self.names[shown_name(item, place)] for item in plan.split.sections[section]}
        path = plan.records_of(section)
        if path.is_file() and split != {r.image for r in self._portable(read_records(path, self.comparison.classes))}:
            remedy = "Give the data set, seeds and folds that it was made with"
            raise InputError(path, f"its slices are not the {len(split)} of {plan.split.name}", remedy)

    def _renamed(self, baseline: ModelRuns) -> ModelRuns:
        return replace(baseline, runs=[replace(run, records=self._portable(run.records)) for run in baseline.runs])

    def _portable(self, records: Sequence[SliceRecord]) -> list[SliceRecord]:
        """Predictions from another machine meet ours under the same names."""
        return [replace(record, image=self.names.get(record.image, record.image)) for record in records]
