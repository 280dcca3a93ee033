"""Yes or no from a command line."""

from __future__ import annotations

from typing import Any


def as_bool(value: Any) -> bool:
    """Return a switch's value as a bool; the bundle's command line hands ``--resume false`` over as text.

    Raises:
        ValueError: when a text is none of true, false, yes, no, on, off, 1, 0 and none in any case.
    """
    if not isinstance(value, str):
        return bool(value)
    text = value.strip().lower()
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0", "none", ""):
        return False
    raise ValueError(f"{value!r} is neither true nor false.")
