"""Where a checkpoint fails: its surest errors, and the kinds of slices that it is worse at."""

from studies.known_failures.known_failures import known_failures, worst_errors, write_known_failures

__all__ = ["known_failures", "worst_errors", "write_known_failures"]
