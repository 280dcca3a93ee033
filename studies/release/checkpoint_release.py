"""What a release writes: the checkpoint in half precision, its settings, and the predictions that it is known by."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from braintumor_ext.calibration import set_stale_calibration_aside
from braintumor_ext.errors import InputError
from braintumor_ext.files import backup_existing, replacing, sha256_of
from braintumor_ext.networks import read_settings, read_state_dict
from braintumor_ext.networks.settings import SETTINGS
from studies.release.half_precision import write_half

logger = logging.getLogger(__name__)

BEST = "model.pt"


def checkpoint_of(path: str | PathLike[str]) -> Path:
    """Return the checkpoint that a file or a folder stands for.

    Args:
        path: ``model.pt`` or its folder.

    Raises:
        InputError: there is none.
    """
    found = Path(path) / BEST if Path(path).is_dir() else Path(path)
    if not found.is_file():
        raise InputError(found, "no such checkpoint", "Train first, or give the path of a model.pt or its folder")
    return found


def settings_of(checkpoint: str | PathLike[str]) -> dict[str, Any]:
    """Return the settings of a checkpoint, which a release cannot do without.

    Args:
        checkpoint: ``model.pt``.

    Raises:
        InputError: there are none, or they are those of another checkpoint.
    """
    settings = read_settings(checkpoint)
    if not settings:
        path = Path(checkpoint).with_name(SETTINGS)
        problem = "does not tell the settings of the model.pt beside it"
        raise InputError(path, problem, "Give a checkpoint together with the training.json of its training")
    return settings


def write_release(
    checkpoint: str | PathLike[str],
    output: str | PathLike[str],
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``model.pt`` in half precision and ``training.json``; earlier files of other content are renamed.

    A calibration beside it that belongs to another checkpoint is renamed too.

    Args:
        checkpoint: ``model.pt`` as it was trained, with its ``training.json``.
        output: the folder to write to; made if it does not exist.
        facts: what ``training.json`` says besides the settings (recipe, split).

    Returns:
        The path of the new ``model.pt``.

    Raises:
        InputError: the checkpoint has no settings of its own, or does not fit half precision.
    """
    checkpoint, folder = Path(checkpoint), Path(output)
    settings, state = settings_of(checkpoint), read_state_dict(checkpoint)
    trained = settings.get("trained_sha256") or sha256_of(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / BEST
    write_half(state, path)
    told = {**settings, **(facts or {}), "precision": "float16", "trained_sha256": trained}
    _write_settings(path, told)
    if (renamed := set_stale_calibration_aside(path)) is not None:
        logger.info("%s was of another checkpoint.", renamed.name)
    return path


def _write_settings(checkpoint: Path, settings: Mapping[str, Any]) -> None:
    path = checkpoint.with_name(SETTINGS)
    content = {**settings, "checkpoint": checkpoint.name, "sha256": sha256_of(checkpoint)}
    text = json.dumps(content, indent=4, default=str) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
        backup_existing(path)
