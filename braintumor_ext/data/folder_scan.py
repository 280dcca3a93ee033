"""Finding slices, masks and groups in a folder that holds one folder for each class."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from braintumor_ext.classes import CLASSES, FOLDER_NAMES, Classes, class_of_folder
from braintumor_ext.data.split import canonical
from braintumor_ext.errors import InputError
from braintumor_ext.transforms import find_files, find_images
from braintumor_ext.transforms.formats import without_suffix
from braintumor_ext.transforms.found_files import LITTER, LITTER_FOLDERS, MASKS, first_names

PARTS: dict[str, str] = {"training": "Training", "train": "Training", "testing": "Testing", "test": "Testing"}
"""Names (lower case) of the folders of a published division, and the part that each stands for."""

_TESTING = "Testing"


@dataclass(frozen=True)
class FoundSlice:
    """A file that should hold a slice."""

    key: str  # its path from the class folder on, with forward slashes; after `Testing/` in the published test part
    path: Path
    source: str  # its path relative to the folder that was scanned
    class_name: str  # the class that its folder stands for
    mask: Path | None = None  # the file of its tumour mask, if there is one

    @property
    def in_test_part(self) -> bool:
        """Whether the file lies in a published test part."""
        return self.key.startswith(f"{_TESTING}/")


@dataclass
class FolderScan:
    """What a folder holds."""

    slices: list[FoundSlice] = field(default_factory=list)  # the files in the class folders, sorted by key
    left_out: list[InputError] = field(default_factory=list)  # what could not be taken
    passed_over: dict[str, list[str]] = field(default_factory=dict)  # files that are no slices to read, by the reason
    notes: list[str] = field(default_factory=list)  # what a person should know, though nothing was lost
    has_parts: bool = False  # whether there are both a Training and a Testing folder


def scan_folder(
    images: Path,
    masks: Path | None = None,
    classes: Classes = CLASSES,
    folder_table: Mapping[str, str] = FOLDER_NAMES,
    whole: bool = True,
) -> FolderScan:
    """Find the slices below a folder and their masks.

    Args:
        images: holds one folder for each class, or ``Training`` (and ``Testing``) that do.
        masks: holds masks in the same folders, or in folders of the same classes, under the images' stems.
        folder_table: normalised folder name to class name (see ``class_of_folder``).
        whole: whether it is to hold every class: one that is missing is then noted.

    Raises:
        InputError: if a folder is absent, or no class folder is found.
    """
    for folder in (images, masks):
        if folder is not None and not folder.is_dir():
            raise InputError(folder, "is not a folder", "Give a folder that holds one folder for each class")
    scan = FolderScan()
    parts = {PARTS[f.name.lower()]: f for f in _folders(images) if f.name.lower() in PARTS}
    scan.has_parts = len(parts) == 2
    skipped = masks.resolve() if masks is not None else None
    mask_of = _index_masks(masks, classes, folder_table) if masks is not None else {}
    for part, root in sorted(parts.items()) or [("Training", images)]:
        thumbnails = (path for folder in root.iterdir() if _is_litter(folder) for path in folder.rglob("*"))
        if litter := sorted(path.relative_to(images).as_posix() for path in thumbnails if path.is_file()):
            scan.passed_over.setdefault(LITTER, []).extend(litter)
        for folder in _folders(root):
            if folder.resolve() == skipped:
                continue
            _scan_class_folder(scan, images, folder, part, mask_of, classes, folder_table)
    seen = {s.class_name for s in scan.slices}
    if not seen:
        problem = f"no folder in it that stands for a class ({', '.join(classes)}) holds an image"
        raise InputError(images, problem, _name_folders(classes))
    scan.notes += [
        f"class {name!r} has no images: a model cannot learn it. Add a folder of it, or name the classes "
        "that there are by --class_names"
        for name in classes
        if whole and name not in seen
    ]
    if whole and len(seen) == 1:
        scan.notes.append(
            f"all images are of one class, {min(seen)!r}: no classifier can be trained on them. Add folders of others"
        )
    for reason, names in scan.passed_over.items():
        remedy = ". Move them to a folder of their own under their images' names, and give it by --masks"
        told = f"{len(names):,} file(s) {reason} are left out: {first_names(names)}"
        scan.notes.append(told + (remedy if reason == MASKS else ""))
    used = {s.mask for s in scan.slices}
    if spare := [path for path in dict.fromkeys(mask_of.values()) if path not in used]:
        scan.notes.append(f"{len(spare)} mask(s) in {masks} belong to no image, e.g. {spare[0].name}")
    scan.slices.sort(key=lambda s: s.key)
    return scan


def _scan_class_folder(
    scan: FolderScan,
    images: Path,
    folder: Path,
    part: str,
    mask_of: Mapping[tuple[str, str], Path],
    classes: Classes,
    folder_table: Mapping[str, str],
) -> None:
    found = find_files(folder)
    files = found.files
    name = class_of_folder(folder.name, classes, folder_table)
    if name is None:
        if files:
            problem = f"no class is known for this folder; its {len(files)} image(s) are left out"
            scan.left_out.append(InputError(folder, problem, _name_folders(classes)))
        else:
            scan.notes.append(f"folder {folder} stands for no class and holds no images: skipped")
        return
    if not files:
        scan.notes.append(f"class folder {folder} holds no images: put some in it, or leave it away")
    for reason, paths in found.left_out.items():
        scan.passed_over.setdefault(reason, []).extend(path.relative_to(images).as_posix() for path in paths)
    prefix = f"{_TESTING}/" if part == _TESTING else ""
    own = canonical(folder.name)
    for path in files:
        inside = canonical(path.relative_to(folder).as_posix())
        places = ((place, without_suffix(inside)) for place in (prefix + own, own, f"class {name}"))
        mask = next((mask_of[place] for place in places if place in mask_of), None)
        source = path.relative_to(images).as_posix()
        scan.slices.append(FoundSlice(f"{prefix}{own}/{inside}", path, source, name, mask))


def _index_masks(masks: Path, classes: Classes, folder_table: Mapping[str, str]) -> dict[tuple[str, str], Path]:
    """Masks by (class folder, stem), and by (``class`` and its name, stem) where the folders are named otherwise."""
    index: dict[tuple[str, str], Path] = {}
    for part in _folders(masks):
        inner = part.name.lower() in PARTS
        for folder in _folders(part) if inner else [part]:
            prefix = f"{_TESTING}/" if inner and PARTS[part.name.lower()] == _TESTING else ""
            name = class_of_folder(folder.name, classes, folder_table)
            for path in find_images(folder):
                stem = without_suffix(canonical(path.relative_to(folder).as_posix()))
                index.setdefault((prefix + canonical(folder.name), stem), path)
                if name is not None and not prefix:
                    index.setdefault((f"class {name}", stem), path)
    return index


def read_groups(path: Path, keys: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Read the groups of images from a table.

    Args:
        path: CSV with the columns ``image`` (the path from the class folder on; ``Training/`` or ``Testing/`` may
            stand before it) and ``group``.
        keys: the keys of the images at hand.

    Returns:
        The group by key where it is told, and notes on rows that belong to no image and images without a group.

    Raises:
        InputError: if the file or one of the columns is absent, a column stands there twice, it is not UTF-8, no row
            tells a group or belongs to an image, a name fits several images, or an image stands in two groups.
    """
    if not path.is_file():
        raise InputError(path, "there is no such file", "Give a CSV with the columns image,group")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            if any(columns.count(name) != 1 for name in ("image", "group")):
                problem = f"has the columns {columns}, not image and group once each"
                raise InputError(path, problem, "Write the header image,group and one row for each image")
            rows = [((row["image"] or "").strip(), (row["group"] or "").strip()) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, f"is no CSV in UTF-8 ({error})", "Save it as CSV UTF-8") from error
    named = _Names(keys)
    groups: dict[str, str] = {}
    spare = []
    for image, group in rows:
        found = named.keys_of(image)
        if len(found) > 1:
            told = f"{image} may be {' or '.join(found[:2])}"
            raise InputError(path, told, "Write the path from the class folder on")
        key = found[0] if found else None
        if key is None:
            spare.append(image)
        elif group and groups.setdefault(key, group) != group:
            raise InputError(
                path, f"{image} stands in two groups, {groups[key]!r} and {group!r}", "Keep one row for it"
            )
    if not any(group for _, group in rows):
        raise InputError(path, "no row of it tells a group", "Fill the column group, or leave --groups away")
    if len(spare) == len(rows):
        raise InputError(
            path,
            f"none of its {len(spare)} row(s) belongs to an image: {spare[0]!r}, but images are called {keys[0]!r}",
            "Write the path from the class folder on",
        )
    notes = [f"{len(spare)} row(s) of {path} belong to no image, e.g. {spare[0]!r}"] if spare else []
    if without := [key for key in keys if key not in groups]:
        notes.append(
            f"{path} tells no group of {len(without):,} image(s), e.g. {without[0]!r}: only with near-duplicates and "
            "copies of theirs are they kept together"
        )
    return groups, notes


class _Names:
    """What images may be called in a table: key, longer path that ends with it, without suffix, file name."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            plain = key.removeprefix(f"{_TESTING}/")
            for name in dict.fromkeys((key, plain, without_suffix(key), without_suffix(plain))):
                self._keys[name].append(key)
        self._files: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            file = PurePosixPath(key).name
            for name in dict.fromkeys((file, without_suffix(file))):
                self._files[name].append(key)

    def keys_of(self, image: str) -> list[str]:
        """Return the keys of the images that a name may mean; the longest end of a path that is known counts."""
        parts = PurePosixPath(canonical(image.replace("\\", "/"))).parts
        for begin in range(len(parts)):
            name = "/".join(parts[begin:])
            if found := self._keys.get(name):
                return [name] if name in found else _own(found)
        return _own(self._files.get(parts[0], [])) if len(parts) == 1 else []


def _own(keys: list[str]) -> list[str]:
    """Return the keys outside the published test part if there are any: a name without ``Testing/`` means those."""
    return [key for key in keys if not key.startswith(f"{_TESTING}/")] or keys


def _folders(root: Path) -> list[Path]:
    folders = (f for f in root.iterdir() if f.is_dir() and not f.name.startswith(".") and not _is_litter(f))
    return sorted(folders, key=lambda f: f.name)


def _is_litter(folder: Path) -> bool:
    return folder.is_dir() and folder.name.lower() in LITTER_FOLDERS


def _name_folders(classes: Classes) -> str:
    return f"Name class folders {', '.join(classes)}, or map other names by --folder-map FILE.json"
