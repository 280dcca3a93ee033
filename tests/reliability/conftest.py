"""Figures of the reliability tests, printed as a table in the end; RELIABILITY_SHARE=0.1 does a tenth of the work."""

from __future__ import annotations

import os

import pytest

FIGURES: dict[str, str] = {}


def share_of(count: int) -> int:
    """Return how many of ``count`` cases are to be tried."""
    return max(1, round(count * float(os.environ.get("RELIABILITY_SHARE", "1"))))


@pytest.fixture
def figures() -> dict[str, str]:
    """What was tried to what came out."""
    return FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("reliability")
        terminalreporter.write_line("| tried | came out |\n| --- | --- |")
        for tried, found in FIGURES.items():
            terminalreporter.write_line(f"| {tried} | {found} |")
