"""The classes that the network tells apart, and the folder names that stand for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from braintumor_ext.errors import InputError


@dataclass(frozen=True)
class Classes:
    """The classes in the order of their indices, and which of them has no tumour.

    It has a length, gives its names in their order, and the name of an index by ``classes[index]``.

    Raises:
        InputError: ``names`` are no list of texts, one is empty or comes twice, or ``empty`` is none of them.

    Example::

        >>> classes = Classes(("tumour", "clear"), empty="clear")
        >>> classes.empty_index, classes.tumours
        (1, {'tumour': 0})
    """

    names: tuple[str, ...]  # K class names; a list becomes a tuple
    # the class whose masks are empty by definition. None where there is none; the text ``none`` (unless a class is
    # called so) means the same, since MONAI's command line drops a None.
    empty: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.names, list | tuple) or not all(isinstance(name, str) and name for name in self.names):
            remedy = "Give a list, quoted on a command line: --class_names \"['glioma','other']\""
            raise InputError("--class_names", f"{self.names!r} is no list of names", remedy)
        if len(set(self.names)) != len(self.names) or not self.names:
            raise InputError("--class_names", f"{list(self.names)} has a name twice or none", "Name each class once")
        object.__setattr__(self, "names", tuple(self.names))
        if self.empty not in (None, *self.names):
            if not isinstance(self.empty, str) or self.empty.strip().lower() != "none":
                remedy = f"Give one of {', '.join(self.names)}, or none"
                raise InputError("--empty_class", f"{self.empty!r} is not among the classes", remedy)
            object.__setattr__(self, "empty", None)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Classes:
        """Return the classes of a file that holds ``class_names`` and ``empty_class``, as :meth:`stored` gave them."""
        return cls(stored["class_names"], stored["empty_class"])

    def stored(self) -> dict[str, Any]:
        """Return the entries that stand for the classes in files."""
        return {"class_names": list(self.names), "empty_class": self.empty}

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, index: int) -> str:
        return self.names[index]

    def index(self, name: str) -> int:
        """Return a class's index.

        Raises:
            ValueError: there is no such class; valid ones are listed.
        """
        if name not in self.names:
            raise ValueError(f"there is no class {name!r}: valid are {', '.join(self.names)}.")
        return self.names.index(name)

    @property
    def empty_index(self) -> int | None:
        """The index of the class whose masks are empty; None if there is none."""
        return None if self.empty is None else self.names.index(self.empty)

    @property
    def tumours(self) -> dict[str, int]:
        """The index of each class that has tumours, by its name."""
        return {name: index for index, name in enumerate(self.names) if name != self.empty}


CLASSES = Classes(("glioma", "meningioma", "pituitary", "no_tumor"), empty="no_tumor")
"""The classes of the published data set."""

_FOLDERS = {
    "glioma": ("glioma", "glioma_tumor", "glioma_tumour", "gl"),
    "meningioma": ("meningioma", "meningioma_tumor", "meningioma_tumour", "me"),
    "pituitary": ("pituitary", "pituitary_tumor", "pituitary_tumour", "pi"),
    "no_tumor": ("no_tumor", "no_tumour", "notumor", "notumour", "healthy", "normal"),
}
FOLDER_NAMES: dict[str, str] = {folder: name for name, folders in _FOLDERS.items() for folder in folders}
"""Folder name (lower case, words joined by underscores) to class name; extend it for other data sets."""


def class_of_folder(folder: str, classes: Classes = CLASSES, table: Mapping[str, str] = FOLDER_NAMES) -> str | None:
    """Return the class name that a folder's name stands for, or None.

    Args:
        folder: the folder's name (no path); case, blanks and hyphens do not matter.
        classes: those in use; a folder with the very name of one of them needs no table entry.
    """
    normal = re.sub(r"[\s\-]+", "_", folder.strip().lower())
    by_normal = {re.sub(r"[\s\-]+", "_", name.lower()): name for name in classes}
    name = by_normal.get(normal) or table.get(normal)
    return name if name in classes.names else None


def display_name(class_name: str) -> str:
    """Return a class name as it is shown to people, e.g. ``no tumor`` for ``no_tumor``."""
    return class_name.replace("_", " ")
