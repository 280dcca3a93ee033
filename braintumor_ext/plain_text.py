"""File names as text that any table, log and picture can hold."""

from __future__ import annotations

import unicodedata

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, line and paragraph separators
_FORMULA = ("=", "+", "-", "@")


def printable(text: str) -> str:
    r"""Return a text in one line that every file can hold: what cannot be printed becomes an escape.

    A name on Linux may hold any byte but ``/`` and 0. Python hands over bytes that are not UTF-8 as lone surrogates,
    which no file can be written with. A line break becomes ``\n``, the byte FF ``\xff``.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def csv_cell(text: str) -> str:
    """Return a text as a cell of a table: printable, and no formula.

    Spreadsheets run a cell that begins with ``=``, ``+``, ``-`` or ``@``; an apostrophe before it makes it text (OWASP,
    CSV Injection).
    """
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
