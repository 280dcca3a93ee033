"""Texts from outside, such as file names, as text that any table, log and picture can hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, lone surrogates, line and paragraph separators
_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:(\\)|([nrt])|x([0-9a-f]{2})|u([0-9a-f]{4}))")


def printable(text: str) -> str:
    r"""Return a text in one line that every file can hold: what cannot be printed becomes an escape.

    A name on Linux may hold any byte but ``/`` and 0. Python hands over bytes that are not UTF-8 as lone surrogates,
    which no file can be written with. A line break becomes ``\n``, the byte FF ``\xff``.
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def csv_cell(text: str) -> str:
    r"""Return a text as a cell of a table: in one line, and no formula. :func:`csv_text` undoes it exactly.

    Spreadsheets run a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return; an apostrophe
    before it makes it text (OWASP, CSV Injection). A number is left as it is. What cannot be printed is escaped as by
    :func:`printable`; a backslash is doubled in a text in which it would be read as part of an escape.
    """
    shown = printable(text)
    if shown != text or _unescaped(text) != text:
        shown = printable(text.replace("\\", "\\\\"))
    return f"'{shown}" if _would_run(shown) else shown


def csv_text(cell: str) -> str:
    """Return the text that :func:`csv_cell` made a cell of."""
    return _unescaped(cell[1:] if cell.startswith("'") and _would_run(cell) else cell)


def csv_row(values: Iterable[Any]) -> list[Any]:
    """Return the cells of a row: texts as :func:`csv_cell`, all else as it is."""
    return [csv_cell(value) if isinstance(value, str) else value for value in values]


def _would_run(cell: str) -> bool:
    """Return whether a spreadsheet would take a cell, without apostrophes before it, for a formula."""
    bare = cell.lstrip("'")
    return bare.startswith(_FORMULA) and not _NUMBER.fullmatch(bare)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if "\x80" <= character <= "\x9f":
        return f"\\u{ord(character):04x}"  # not to be taken for a byte that is no text
    return character.encode("unicode_escape").decode("ascii")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    backslash, short, byte, code = found.groups()
    if backslash:
        return backslash
    if short:
        return {"n": "\n", "r": "\r", "t": "\t"}[short]
    if byte:
        number = int(byte, 16)
        return chr(number if number < 0x80 else 0xDC00 + number)
    return chr(int(code, 16))
