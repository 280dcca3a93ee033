"""Make a Python process see only what a packed bundle asks for, as in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

_SITECUSTOMIZE = """
import sys
from importlib.machinery import PathFinder

REFUSED = {refused}

class Required(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in REFUSED else super().find_spec(name, path, target)

# an editable installation finds its packages by a hook of its own, or by a path
finders = (f for f in sys.meta_path if "editable" not in repr(f).lower())
sys.meta_path[:] = [Required if f is PathFinder else f for f in finders]
sys.path[:] = [p for p in sys.path if p.rstrip("/") != {repository!r}]
"""


def required_distributions(metadata: dict[str, object]) -> set[str]:
    """The distributions that a bundle's metadata names, and all that these require."""
    named = metadata["required_packages_version"]
    assert isinstance(named, dict)
    found: set[str] = set()
    todo = ["monai", "torch", "numpy", *named]
    while todo:
        name = _normal(todo.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needed = distribution(name).requires or []
        except PackageNotFoundError:  # of another platform
            continue
        todo += [re.match(r"[\w.-]+", need)[0] for need in needed if "extra ==" not in need]  # type: ignore[index]
    return found


def run_alone(bundle: Path, scratch: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages that the bundle's metadata requires and nothing else, not even this repository."""
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    required = required_distributions(metadata)
    # pip and setuptools come with every environment.
    required |= {"pip", "setuptools"}
    refused = {
        module for module, owners in _owners().items() if not any(_normal(owner) in required for owner in owners)
    }
    assert "pytest" in refused
    refused -= {"braintumor_ext"}  # the bundle has its own copy; the installed one is put out of reach otherwise
    repository = str(Path(__file__).resolve().parents[2])
    scratch.mkdir(parents=True, exist_ok=True)
    text = _SITECUSTOMIZE.format(refused=refused, repository=repository)
    (scratch / "sitecustomize.py").write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(scratch), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@cache  # every installed file is looked at
def _owners() -> Mapping[str, list[str]]:
    """The distributions that each importable name comes from."""
    return packages_distributions()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
