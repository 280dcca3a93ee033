"""Models compared on the same splits, under the published protocol and with patients kept together."""

from studies.comparison.comparison import Comparison, RunFailed, has_runs
from studies.comparison.evidence import copy_evidence
from studies.comparison.extra_slices import ExtraSlices
from studies.comparison.inference_time import milliseconds_per_image
from studies.comparison.judgement import judge, render_judgement
from studies.comparison.model_runs import ModelRuns, Run
from studies.comparison.models import ModelConfig, choose_models, known_models
from studies.comparison.report import write_comparison
from studies.comparison.result import ComparisonResult
from studies.comparison.splits import PROTOCOLS, Split, all_items, make_splits, store_split, subset
from studies.comparison.summary import summarise_protocol

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "ComparisonResult",
    "ExtraSlices",
    "ModelConfig",
    "ModelRuns",
    "Run",
    "RunFailed",
    "Split",
    "all_items",
    "choose_models",
    "copy_evidence",
    "has_runs",
    "judge",
    "known_models",
    "make_splits",
    "milliseconds_per_image",
    "render_judgement",
    "store_split",
    "subset",
    "summarise_protocol",
    "write_comparison",
]
