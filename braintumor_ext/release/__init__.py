"""Releasing a checkpoint: half precision, stored answers, probes on other data, and where it fails."""

from braintumor_ext.release.checkpoint_release import checkpoint_of, settings_of, write_release
from braintumor_ext.release.evaluated_slices import EvaluatedSlice, read_evaluated, read_metrics, split_hash
from braintumor_ext.release.expected_answers import (
    EXPECTED,
    check_files,
    choose_slices,
    compare_answers,
    read_expected,
    write_expected,
)
from braintumor_ext.release.external_probe import ExternalProbe, probe_images
from braintumor_ext.release.half_precision import Agreement, agreement, to_half, write_half
from braintumor_ext.release.known_failures import draw_errors, known_failures, worst_errors, write_known_failures
from braintumor_ext.release.probe_report import write_probes, write_sheet

__all__ = [
    "EXPECTED",
    "Agreement",
    "EvaluatedSlice",
    "ExternalProbe",
    "agreement",
    "check_files",
    "checkpoint_of",
    "choose_slices",
    "compare_answers",
    "draw_errors",
    "known_failures",
    "probe_images",
    "read_evaluated",
    "read_expected",
    "read_metrics",
    "settings_of",
    "split_hash",
    "to_half",
    "worst_errors",
    "write_expected",
    "write_half",
    "write_known_failures",
    "write_probes",
    "write_release",
    "write_sheet",
]
