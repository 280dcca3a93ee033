from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("braintumor_ext", "scripts", "monai_bundle", "studies")


def layer(module: str) -> str:
    """The part that a module belongs to: ``braintumor_ext.data`` for ``braintumor_ext.data.split``."""
    return ".".join(module.split(".")[:2])


def imported(path: Path) -> set[str]:
    """The modules that a file imports, in functions and for type checkers too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_the_parts_import_each_other_one_way_only() -> None:
    imports: dict[str, set[str]] = defaultdict(set)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            own = layer(".".join(path.relative_to(ROOT).with_suffix("").parts))
            others = {layer(name) for name in imported(path) if name.split(".")[0] in FOLDERS}
            imports[own] |= others - {own}
    assert len(imports) > 40, "the files are found"
    assert list(TopologicalSorter(imports).static_order())  # a CycleError names the parts that go in a circle
    product = {name for own, others in imports.items() if own.startswith("braintumor_ext") for name in others}
    assert all(name.startswith("braintumor_ext") for name in product)
