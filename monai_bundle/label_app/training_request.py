"""What a client may ask of a training: MONAI Label puts its request's values into a config, which evaluates texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from braintumor_ext.config_text import check_count, check_plain
from braintumor_ext.errors import InputError
from monai_bundle.label_app.bundle import usable_device


def check_training_request(request: Mapping[str, Any]) -> None:
    """Raise unless all that a client asks of a training is data of its kind; what is absent has its default.

    Raises:
        InputError: a value is something else; it is named.
    """
    for name, value in request.items():
        try:
            check_plain(value)
            if name == "max_epochs":
                check_count(value)
        except ValueError as error:
            raise InputError(name, f"is {error}", "Ask for plain numbers and names") from None
    # MONAI Label offers lists for a client to choose from, and takes a list's first entry for the choice.
    if device := _chosen(request.get("device")):
        usable_device(device)
    file = _chosen(request.get("model_filename"))
    if file is not None and (not isinstance(file, str) or PurePath(file).name != file or file in ("", "..")):
        raise InputError("model_filename", f"{file!r} is no file of the bundle's models/", "Give model.pt")


def _chosen(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and value else value
