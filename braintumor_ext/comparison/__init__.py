"""Models compared on the same splits, under the published protocol and with patients kept together."""

from braintumor_ext.comparison.comparison import Comparison, RunFailed, has_runs
from braintumor_ext.comparison.evidence import copy_evidence
from braintumor_ext.comparison.inference_time import milliseconds_per_image
from braintumor_ext.comparison.judgement import judge, render_judgement
from braintumor_ext.comparison.model_runs import ModelRuns, Run
from braintumor_ext.comparison.models import ModelConfig, choose_models, known_models
from braintumor_ext.comparison.report import write_comparison
from braintumor_ext.comparison.result import ComparisonResult
from braintumor_ext.comparison.splits import PROTOCOLS, Split, all_items, make_splits, store_split, subset
from braintumor_ext.comparison.summary import summarise_protocol

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "ComparisonResult",
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
