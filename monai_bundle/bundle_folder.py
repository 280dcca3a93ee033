"""A packed bundle's folder: whether it is one, and how its own copy of the package comes to run."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = "braintumor_ext"
NEEDED = (
    *(f"configs/{name}.json" for name in ("inference", "train", "metadata")),
    "models/model.pt",
    f"{PACKAGE}/__init__.py",
)


def problem_with(bundle: Path) -> tuple[str, str] | None:
    """Return what is wrong with a bundle's folder, and the remedy; None if it can be used."""
    if bundle.suffix == ".zip":
        return "is an archive", "Unpack it and give the folder"
    pack = "Give the folder that python -m monai_bundle.pack writes"
    if not bundle.is_dir():
        return "no such folder", pack
    missing = [name for name in NEEDED if not (bundle / name).is_file()]
    return (f"is no packed bundle (it lacks {', '.join(missing)})", pack) if missing else None


def use_code_of(bundle: Path) -> None:
    """Let ``import braintumor_ext`` find a bundle's copy, before one in the working directory or one installed.

    Raises:
        RuntimeError: another copy has been imported already.
    """
    loaded = sys.modules.get(PACKAGE)
    if loaded is not None and Path(str(loaded.__file__)).resolve().parents[1] != bundle.resolve():
        raise RuntimeError(f"{PACKAGE} was imported from {loaded.__file__} before the bundle's own copy")
    sys.path.insert(0, str(bundle))
