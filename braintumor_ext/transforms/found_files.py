"""Which files of a folder are slices to read, and why the others are not: every file is accounted for."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.filereader import read_partial
from pydicom.uid import UID

from braintumor_ext.errors import InputError
from braintumor_ext.plain_text import printable
from braintumor_ext.transforms.formats import (
    DICOM_SUFFIXES,
    SUPPORTED_SUFFIXES,
    has_suffix,
    is_supported,
    without_suffix,
)

LITTER = "thumbnails and litter of file servers and systems"
HIDDEN = "hidden"
MASKS = "masks beside their images"
DICOMDIR = "DICOM directories"
OTHER_FORMAT = "of no format that is read"
NO_FILE = "links that lead nowhere, devices and pipes"
CLOSED = "that cannot be opened"
OWN_OUTPUT = "in the output folder"

LITTER_FOLDERS = {
    "@eadir",
    "#recycle",
    "#snapshot",
    "@recycle",
    "@recently-snapshot",
    "$recycle.bin",
    "__macosx",
    ".appledouble",
    ".trashes",
    ".spotlight-v100",
    ".fseventsd",
    "system volume information",
    "lost+found",
}
_LITTER_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory"}
_MASK_WORDS = "(?:mask|seg|segmentation|label|labels|gt|roi)"
_MASK_NAMES = (
    re.compile(rf"(.+?)[_\- .](?:tumou?r[_\- .])?(?:{_MASK_WORDS}|\({_MASK_WORDS}\))(?:_\d+)?", re.IGNORECASE),
    re.compile(rf"{_MASK_WORDS}[_\- .](.+)", re.IGNORECASE),
)
_MASK_FOLDERS = {"gt", *(w + end for w in ("mask", "seg", "segmentation", "label", "roi") for end in ("", "s"))}
_SOP_CLASS = 0x00080016


@dataclass
class FoundFiles:
    """The files below a folder."""

    root: Path  # the folder
    files: list[Path] = field(default_factory=list)  # those to read, sorted by their paths below the root
    # all others by reason, sorted likewise; links to folders that are searched anyway are no files
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self.files) + sum(len(paths) for paths in self.left_out.values())

    def leave_out_where(self, unwanted: Callable[[Path], bool], reason: str) -> None:
        """Move files from those to read to those that are left out."""
        moved = [path for path in self.files if unwanted(path)]
        if moved:
            self.left_out[reason] = moved
            gone = set(moved)
            self.files = [path for path in self.files if path not in gone]

    def told(self, shown: int = 5) -> list[str]:
        """Return a line for each reason: how many files it leaves out, and the names of the first of them."""
        return [
            f"{len(paths):,} {reason}: {first_names([p.relative_to(self.root).as_posix() for p in paths], shown)}"
            for reason, paths in self.left_out.items()
        ]


def first_names(names: Sequence[str], shown: int = 5) -> str:
    """Return the first of some names in a line, and how many more there are."""
    return ", ".join(map(printable, names[:shown])) + (f" and {len(names) - shown:,} more" if names[shown:] else "")


def find_files(root: str | Path) -> FoundFiles:
    """Sort the files below a folder into those to read and those to leave out, each by its reason.

    Linked folders are searched like others, once: not one that holds the root, or that is searched already. A mask
    beside its image is known by its name: ``x_mask.png``, ``mask_x.png``, ``x_seg.nii.gz`` where there is an ``x`` of
    any format; so is any file of a folder ``masks``, ``labels``, ``segmentations`` ... where an image of its name, or
    of its name without such a word, lies below the folder that holds it.

    Args:
        root: a folder (searched to any depth), or one file, which is to be read whatever it is.

    Raises:
        InputError: if nothing is there.
    """
    root = Path(root)
    if root.is_file():
        return FoundFiles(root.parent, [root])
    if not root.is_dir():
        raise InputError(root, "no such file or folder", "Check the path")
    # Compared by parts as strings, so that the order does not depend on the machine's path separator or locale.
    paths = sorted(_walk(root), key=lambda path: path.relative_to(root).as_posix())
    images = _image_names(paths, root)
    found, left_out = FoundFiles(root), defaultdict(list)
    for path in paths:
        reason = _reason(path, path.relative_to(root).parts, images)
        if reason is None:
            found.files.append(path)
        else:
            left_out[reason].append(path)
    found.left_out = dict(left_out)
    return found


def _image_names(paths: list[Path], root: Path) -> set[tuple[Path, str]]:
    """Return each possible image's name by the folder that it lies in, and by each above up to the root, as `below` it.

    What lies below a folder of masks is named by its own folder only.
    """
    names = set()
    for path in paths:
        if not has_suffix(path, SUPPORTED_SUFFIXES):
            continue
        name = without_suffix(path.name).lower()
        names.add((path.parent, name))
        folders = path.relative_to(root).parts[:-1]
        if _MASK_FOLDERS.isdisjoint(folder.lower() for folder in folders):
            names.update((root.joinpath(*folders[:depth], "*"), name) for depth in range(len(folders) + 1))
    return names


def find_images(root: str | Path) -> list[Path]:
    """Return the files to read of :func:`find_files`.

    Raises:
        InputError: if nothing is there.
    """
    return find_files(root).files


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below a folder; a folder that cannot be opened itself. Links are followed once all else is."""
    seen = {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)}
    waiting, closed = [root], list[Path]()
    while waiting:
        folder, links = waiting.pop(0), []
        for place, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
            here = Path(place)
            seen.add(_identity(here))
            links += [here / name for name in folders if (here / name).is_symlink()]
            folders[:] = [name for name in folders if _identity(here / name) not in seen]
            yield from (here / name for name in files)
        waiting += sorted(links)
        while waiting and _identity(waiting[0]) in seen:
            waiting.pop(0)
    yield from closed


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _reason(path: Path, parts: tuple[str, ...], images: set[tuple[Path, str]]) -> str | None:
    """Return why a file is left out; None if it is to be read."""
    lower = [part.lower() for part in parts]
    if not LITTER_FOLDERS.isdisjoint(lower) or lower[-1] in _LITTER_FILES or lower[-1].startswith("._"):
        return LITTER
    if any(part.startswith(".") for part in parts):
        return HIDDEN
    if path.is_dir():
        return CLOSED
    if not path.is_file():
        return NO_FILE
    if path.name.upper() == "DICOMDIR":
        return DICOMDIR
    try:
        if not is_supported(path):
            return OTHER_FORMAT
    except OSError:
        return CLOSED
    stem = without_suffix(path.name)
    matches = [match for pattern in _MASK_NAMES if (match := pattern.fullmatch(stem))]
    of = [match[1].lower() for match in matches]
    holders = [path.parents[len(parts) - 2 - k] for k, folder in enumerate(lower[:-1]) if folder in _MASK_FOLDERS]
    if any((path.parent, name) in images for name in of):
        return MASKS
    if any((folder.parent / "*", name) in images for folder in holders for name in (stem.lower(), *of)):
        return MASKS
    return _no_image(path)


def _no_image(path: Path) -> str | None:
    """Return what kind of DICOM object without an image a file holds, by its class; None if it is an image."""
    if not has_suffix(path, DICOM_SUFFIXES) and has_suffix(path, SUPPORTED_SUFFIXES):
        return None
    try:
        with path.open("rb") as file:
            header = read_partial(file, stop_when=lambda tag, kind, length: tag > _SOP_CLASS, force=True)
        uid = UID(str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""))
    except Exception:  # pydicom raises what it likes on broken headers; reading the file will tell
        return None
    if uid.type != "SOP Class" or "Image Storage" in uid.name:
        return None
    return f"DICOM without an image ({uid.name.removesuffix(' Storage')})"
