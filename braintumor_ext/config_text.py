"""Texts from outside in MONAI's configs, whose parser evaluates some texts and replaces characters in others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

EVALUATED = ("$", "@", "%")  # what begins a text that the parser takes for an expression, a reference or a macro
_REPLACED = ("#", "@::", "%::")  # of ids: the parser puts others in their place, wherever they stand


def check_plain(value: Any) -> None:
    """Raise unless a value is data all through: nothing in it would be evaluated in a config, or made an object of.

    Raises:
        ValueError: something in it is not; it is named.
    """
    if isinstance(value, str):
        if value.startswith(EVALUATED):
            raise ValueError(f"{value!r}, which a config would evaluate")
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            if not isinstance(key, str) or key.startswith((*EVALUATED, "_", "+")):
                raise ValueError(f"an entry {key!r}, which a config would take for more than data")
            check_plain(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            check_plain(entry)
    elif value is not None and not isinstance(value, bool | int | float):
        raise ValueError(f"{value!r}, no plain value")


def check_class_name(name: Any) -> None:
    """Raise a ValueError unless a value is a class's name."""
    if not isinstance(name, str) or not name or name.startswith(EVALUATED):
        raise ValueError(f"{name!r}, no name of a class")


def check_class_names(names: Any) -> None:
    """Raise a ValueError unless a value is a list of classes' names."""
    if not isinstance(names, list) or not names:
        raise ValueError(f"{names!r}, no list of classes")
    for name in names:
        check_class_name(name)


def check_count(value: Any) -> None:
    """Raise a ValueError unless a value is a positive whole number."""
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r}, no positive whole number")


def check_entries(content: Mapping[str, Any], checks: Mapping[str, Callable[[Any], None]]) -> None:
    """Raise unless each entry that has a check passes it.

    Raises:
        ValueError: one does not; it is named.
    """
    for name in filter(content.__contains__, checks):
        try:
            checks[name](content[name])
        except ValueError as error:
            raise ValueError(f"{name} is {error}") from None


def verbatim(value: Any) -> Any:
    """Return what a config must hold so that the parser makes this very value of it.

    Of a text, or of those in lists and dictionaries, that means nothing to the parser it is the text itself, else an
    expression: ``$'a\\x23b'`` for ``a#b``. Anything else stays as it is.
    """
    if isinstance(value, str):
        if not value.startswith(EVALUATED) and not any(part in value for part in _REPLACED):
            return value
        return "$" + "".join(f"\\x{ord(c):02x}" if c in "$@%#" else c for c in ascii(value))
    if isinstance(value, Mapping):
        return {key: verbatim(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [verbatim(entry) for entry in value]
    return value
