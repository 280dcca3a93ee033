"""The settings that belong to a checkpoint: ``training.json`` beside ``model.pt``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from braintumor_ext.config_text import check_class_name, check_class_names, check_count, check_entries
from braintumor_ext.errors import InputError
from braintumor_ext.files import sha256_of, write_text
from braintumor_ext.networks.description import check_description

logger = logging.getLogger(__name__)

SETTINGS = "training.json"
NETWORK = "network"
"""The entry of the network's name and arguments; see :func:`~braintumor_ext.networks.describe_network`."""


def write_settings(checkpoint: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
    """Write the plain settings that a checkpoint was trained with beside it, with the checkpoint's SHA-256."""
    path = Path(checkpoint)
    write_text(path.with_name(SETTINGS), settings_text(settings, path.name, sha256_of(path)))


def settings_text(settings: Mapping[str, Any], checkpoint: str, sha256: str) -> str:
    """Return the content of ``training.json``."""
    content = {**settings, "checkpoint": checkpoint, "sha256": sha256}
    return json.dumps(content, indent=4, default=str) + "\n"


def read_settings(checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the settings that a checkpoint was trained with: of ``training.json`` beside it, if of a file of its name.

    Raises:
        InputError: when the file is not the one that ``training.json`` was written for, by its SHA-256; when a value
            that would reach a config is not of its kind: settings are data, and MONAI evaluates texts of a config that
            begin with ``$``, ``@`` or ``%``.
    """
    path = Path(checkpoint).with_name(SETTINGS)
    try:
        trained = json.loads(path.read_text(encoding="utf-8"))
        told, found = str(trained["sha256"]), sha256_of(checkpoint)
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # a checkpoint that came without its settings
    if told != found:
        if trained.get("checkpoint") != Path(checkpoint).name:
            return {}  # they are those of another checkpoint
        hashes = f"SHA-256 {found[:12]}…, not {told[:12]}…"
        problem = f"is damaged, or not the file that {SETTINGS} beside it is of ({hashes})"
        raise InputError(
            checkpoint, problem, f"Copy both again from their source; of another checkpoint, remove {SETTINGS}"
        )
    try:
        check_entries({name: value for name, value in trained.items() if value is not None}, _CHECKS)
    except ValueError as error:
        raise InputError(path, str(error), "Give the training.json that the training wrote") from None
    return trained


_CHECKS: dict[str, Callable[[Any], None]] = {
    "class_names": check_class_names,
    "empty_class": check_class_name,
    "in_channels": check_count,
    "image_size": check_count,
    "batch_size": check_count,
    NETWORK: check_description,
}
"""What a value must be that configs are given."""


def trained_image_size(checkpoint: str | os.PathLike[str]) -> int:
    """Return the input size in pixels that a checkpoint was trained at; 224 where it is not known."""
    return int(read_settings(checkpoint).get("image_size", 224))


def check_settings(checkpoint: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
    """Compare the settings in use with those that a checkpoint was trained with, if these are known.

    Another input size only costs accuracy, so it is a warning; other class names would give wrong predictions.

    Raises:
        InputError: when the class names differ.
    """
    trained = read_settings(checkpoint)
    for name, value in settings.items():
        if name not in trained or trained[name] == (list(value) if isinstance(value, tuple) else value):
            continue
        if name == "class_names":
            problem = f"trained for the classes {', '.join(trained[name])}, not {', '.join(map(str, value))}"
            raise InputError(checkpoint, problem, f'Give --class_names "{trained[name]}"')
        text = "%s was trained with %s %s, not %s: give --%s %s"
        logger.warning(text, checkpoint, name, trained[name], value, name, trained[name])
