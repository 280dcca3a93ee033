"""Releasing a checkpoint: half precision, stored predictions, and what belongs beside them."""

from studies.release.checkpoint_release import checkpoint_of, settings_of, write_release
from studies.release.expected_predictions import (
    EXPECTED,
    check_files,
    choose_slices,
    compare_predictions,
    read_expected,
    write_expected,
)
from studies.release.half_precision import Agreement, agreement, to_half, write_half

__all__ = [
    "EXPECTED",
    "Agreement",
    "agreement",
    "check_files",
    "checkpoint_of",
    "choose_slices",
    "compare_predictions",
    "read_expected",
    "settings_of",
    "to_half",
    "write_expected",
    "write_half",
    "write_release",
]
