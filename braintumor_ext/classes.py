"""The classes that the network tells apart, and the folder names that stand for them.

Wherever something takes ``class_names``, they are in the order of their indices; ``empty_class`` is the class whose
masks are empty, None if there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

CLASS_NAMES: tuple[str, ...] = ("glioma", "meningioma", "pituitary", "no_tumor")
"""The class names in the order of their indices."""

EMPTY_CLASS = "no_tumor"
"""The class whose masks are empty by definition."""

FOLDER_NAMES: dict[str, str] = {
    "glioma": "glioma",
    "glioma_tumor": "glioma",
    "glioma_tumour": "glioma",
    "gl": "glioma",
    "meningioma": "meningioma",
    "meningioma_tumor": "meningioma",
    "meningioma_tumour": "meningioma",
    "me": "meningioma",
    "pituitary": "pituitary",
    "pituitary_tumor": "pituitary",
    "pituitary_tumour": "pituitary",
    "pi": "pituitary",
    "no_tumor": "no_tumor",
    "no_tumour": "no_tumor",
    "notumor": "no_tumor",
    "notumour": "no_tumor",
    "healthy": "no_tumor",
    "normal": "no_tumor",
}
"""Folder name (lower case, words joined by underscores) to class name; extend it for other data sets."""


def class_of_folder(
    folder: str, class_names: Sequence[str] = CLASS_NAMES, table: Mapping[str, str] = FOLDER_NAMES
) -> str | None:
    """Return the class name that a folder's name stands for, or None.

    Args:
        folder: the folder's name (no path); case, blanks and hyphens do not matter.
        class_names: the classes in use; a folder with the very name of one of them needs no table entry.
        table: normalised folder name to class name.
    """
    normal = re.sub(r"[\s\-]+", "_", folder.strip().lower())
    by_normal = {re.sub(r"[\s\-]+", "_", name.lower()): name for name in class_names}
    name = by_normal.get(normal) or table.get(normal)
    return name if name in class_names else None


def empty_class_of(value: str | None, class_names: Sequence[str] = CLASS_NAMES) -> str | None:
    """Return the class whose masks are empty, or None where there is none.

    The bundle's command line drops a None, so that a user says ``none`` in its place.

    Args:
        value: a class name; None or the text ``none`` (unless a class is called so) where there is no such class.
    """
    if isinstance(value, str) and value.strip().lower() == "none" and value not in class_names:
        return None
    return value


def display_name(class_name: str) -> str:
    """Return a class name as it is shown to people, e.g. ``no tumor`` for ``no_tumor``."""
    return class_name.replace("_", " ")
