"""Reports as tests read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def read_tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, the header first, without the line below it; each has to be rectangular."""
    tables = []
    for lines in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines.splitlines()]
        assert len({len(row) for row in rows}) == 1, lines
        tables.append([rows[0], *rows[2:]])
    return tables


def read_strict_json(path: Path) -> Any:
    """What a JSON file holds, which names no number that JSON has not: no NaN, no infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
