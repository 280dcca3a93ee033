"""The code that runs is the bundle's own: the weights and the code that they were packed with belong together."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = "braintumor_ext"
NEEDED = ("configs/inference.json", "configs/metadata.json", "models/model.pt", f"{PACKAGE}/__init__.py")
_PACK = "Give the folder that python -m monai_bundle.pack writes"


def what_is_missing(bundle: Path) -> str | None:
    """Return what is wrong with a bundle's folder and the remedy, one line; None if it can be used."""
    if bundle.suffix == ".zip":
        return f"{bundle}: is an archive. Unpack it and give the folder."
    if not bundle.is_dir():
        return f"{bundle}: no such folder. {_PACK}."
    missing = [name for name in NEEDED if not (bundle / name).is_file()]
    return f"{bundle}: is no packed bundle (it lacks {', '.join(missing)}). {_PACK}." if missing else None


def use_code_of(bundle: Path) -> None:
    """Let ``import braintumor_ext`` find the bundle's copy, before one in the working directory or one installed.

    Args:
        bundle: the packed bundle's folder, absolute.

    Raises:
        RuntimeError: another copy has been imported already.
    """
    loaded = sys.modules.get(PACKAGE)
    if loaded is not None and Path(str(loaded.__file__)).resolve().parents[1] != bundle.resolve():
        raise RuntimeError(f"{PACKAGE} was imported from {loaded.__file__} before the bundle's own copy")
    sys.path.insert(0, str(bundle))
