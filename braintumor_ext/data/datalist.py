"""The datalist: a fixed split as a JSON file that a person can read and edit and that MONAI reads.

Loading is ``monai.data.load_decathlon_datalist``; this module adds the writing and the checks that make a broken
datalist stop a run before it starts, with all its problems told at once.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import load_decathlon_datalist

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.file_properties import file_properties
from braintumor_ext.data.split import EXTRA, SECTIONS
from braintumor_ext.errors import InputError, InputErrors
from braintumor_ext.files import replacing
from braintumor_ext.keys import CLASS, GROUP, IMAGE, LABEL, SLICE
from braintumor_ext.transforms import read_mask

DATALIST_JSON = "datalist.json"
"""The name of the datalist in a data set's folder."""

_ALL_SECTIONS = (*SECTIONS, EXTRA)

_PREPARE = "python -m scripts.prepare_data --images DIR --output DATASET_DIR"


def write_datalist(path: Path, content: Mapping[str, Any]) -> None:
    """Write a datalist, one item a line.

    The text is ASCII: MONAI opens it with the machine's own encoding.
    """
    with replacing(path) as partial:
        partial.write_text(datalist_text(content), encoding="ascii", newline="\n")


def datalist_text(content: Mapping[str, Any]) -> str:
    """Return a datalist's text, one item a line."""
    entries = []
    for key, value in content.items():
        if key in _ALL_SECTIONS and value:
            lines = ",\n".join(f"        {json.dumps(item)}" for item in value)
            entries.append(f"    {json.dumps(key)}: [\n{lines}\n    ]")
        else:
            entries.append(f"    {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(entries) + "\n}\n"


def load_datalist(
    dataset_dir: str | os.PathLike[str],
    datalist: str | os.PathLike[str] | None = None,
    sections: Sequence[str] = SECTIONS,
    classes: Classes = CLASSES,
    check_files: bool = True,
) -> dict[str, list[dict[str, Any]]]:
    """Load the sections of a datalist, checked.

    Args:
        dataset_dir: the folder that holds ``datalist.json``.
        datalist: another datalist; a relative path is looked for in the working directory, then in ``dataset_dir``.
            Its items' paths are relative to its own folder.
        sections: the sections to load; one that the file does not have is empty.
        classes: checked against those that the datalist was prepared with; an item's class is an index or a name.
        check_files: also check that files exist, and that a mask is of its image's size (headers only).

    Returns:
        The items of each section: ``image`` and ``label`` absolute paths, ``class`` an index, ``group`` and whatever
        else as it stands; an absent key stays absent.

    Raises:
        InputError: if there is no datalist or it is not JSON.
        InputErrors: naming every problem in its items, or if ``training`` was asked for and is empty.
    """
    path = _find(Path(dataset_dir), datalist)
    _checked.cache_clear()  # its files are looked at anew
    without = "training" in sections and not _items(_read_json(path), "training", path)
    return _load(path, tuple(sections), classes, check_files, [_empty_section("training")] if without else [])


def load_section(
    dataset_dir: str | os.PathLike[str],
    datalist: str | os.PathLike[str] | None = None,
    section: str | Sequence[str] = "training",
    classes: Classes = CLASSES,
    check_files: bool = True,
    allow_empty: bool = False,
) -> list[dict[str, Any]]:
    """Load a section of a datalist, or several one after the other, for use in a config.

    For ``training`` and ``validation`` the whole datalist is checked, so that a training does not end at a broken test
    section, and ``training`` must hold two classes or none; for any other section only that one's files. The outcome is
    kept until the file changes: asking for two sections checks the files once.

    Args:
        dataset_dir: like all that is not told here, as for ``load_datalist``.
        section: its name, or several: ``["training", "extra"]``.
        allow_empty: whether a section that is absent or empty gives no items or an error, and ``training`` may hold
            one class only: for uses other than training.

    Returns:
        New item dictionaries, free to change.

    Raises:
        InputError: if there is no datalist or it is not JSON.
        InputErrors: naming every problem in its items, or if the section is absent or empty.
    """
    path = _find(Path(dataset_dir), datalist)
    content = _read_json(path)
    wanted = [section] if isinstance(section, str) else list(dict.fromkeys(section))
    empty = [name for name in wanted if not _items(content, name, path)]
    if empty and not allow_empty:
        raise InputErrors(str(path), [_empty_section(name) for name in empty])
    if len(empty) == len(wanted):
        return []
    whole = not set(SECTIONS[:2]).isdisjoint(wanted)
    sections = tuple(dict.fromkeys([*SECTIONS, *wanted])) if whole else tuple(wanted)
    unfit = _one_class_problem(_items(content, "training", path), classes) if whole and not allow_empty else []
    loaded = _load(path, sections, classes, check_files, unfit)
    return [item for name in wanted for item in loaded[name]]


def shown_name(item: Mapping[str, Any], dataset_dir: str | os.PathLike[str] | None = None) -> str:
    """Return an item's image as it is shown to people: relative to the data set, if given, with its slice's index."""
    path = str(item[IMAGE])
    if dataset_dir is not None:
        path = Path(os.path.relpath(path, dataset_dir)).as_posix()
    return f"{path} slice {item[SLICE]}" if SLICE in item else path


def true_mask(item: Mapping[str, Any]) -> np.ndarray | None:
    """Return an item's true mask in the slice's own grid, (H, W) bool; None where it is unknown.

    Raises:
        InputError: the mask cannot be read.
    """
    return read_mask(item[LABEL], item.get(SLICE)) if item.get(LABEL) is not None else None


def _load(
    path: Path, sections: tuple[str, ...], classes: Classes, check_files: bool, unfit: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return new item dictionaries of each section, unless they have problems or are unfit, which is told last."""
    state = path.stat()
    try:
        loaded = _checked(path, state.st_mtime_ns, state.st_size, sections, classes, check_files)
    except InputErrors as broken:
        raise InputErrors(broken.what, [*broken.problems, *unfit]) from None
    if unfit:
        raise InputErrors(str(path), unfit)
    return {name: [dict(item) for item in items] for name, items in loaded.items()}


@lru_cache(maxsize=8)
def _checked(
    path: Path, mtime_ns: int, size: int, sections: tuple[str, ...], classes: Classes, check_files: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return the items of each section of a file in a certain state."""
    content = _read_json(path)
    # A split is judged as a whole: an item in two sections is wrong even if one section alone is loaded.
    raw = {name: _items(content, name, path) for name in dict.fromkeys([*sections, *_ALL_SECTIONS])}
    problems = _class_list_problems(content, classes)
    loaded: dict[str, list[dict[str, Any]]] = {}
    for name, items in raw.items():
        broken = [(number, problem) for number, item in enumerate(items) if (problem := _shape_problem(item))]
        loaded[name] = [] if broken else _with_paths(path, name, items)
        if name in sections:
            for number, item in enumerate(loaded[name]):
                broken += [(number, problem) for problem in _item_problems(item, classes, check_files)]
            problems += [f"{name}[{number}]: {problem}" for number, problem in broken]
    problems += _divided_images(loaded)
    if problems:
        raise InputErrors(str(path), problems)
    _warn_of_divided_groups(loaded, path, content.get("protocol"))
    return {name: loaded[name] for name in sections}


def _empty_section(name: str) -> str:
    if name == EXTRA:
        return f"the section {name!r} has no items. Prepare the data with --extra DIR, or train without the section"
    return f"the section {name!r} has no items. Prepare the data with another --protocol, or from more images"


def _one_class_problem(items: Sequence[Any], classes: Classes) -> list[str]:
    """Say that a training section holds one class only; one without any class trains the mask alone."""
    values = [item.get(CLASS) for item in items if isinstance(item, dict)]
    found = {classes.names.index(v) if v in classes.names else v for v in values if isinstance(v, str | int)}
    if len(found) != 1 or len(classes) == 1:
        return []
    index = found.pop()
    name = classes[index] if isinstance(index, int) and 0 <= index < len(classes) else index
    return [
        f"the section 'training' holds one class only, {name!r}: no classifier can learn from it. Prepare the data "
        "from images of other classes too, or leave the class out of all items to train the mask alone"
    ]


def _find(dataset_dir: Path, datalist: str | os.PathLike[str] | None) -> Path:
    if datalist is not None:
        for candidate in (Path(datalist), dataset_dir / datalist):
            if candidate.is_file():
                return candidate.resolve()
        raise InputError(datalist, "there is no such datalist", "Give the path of a datalist.json")
    path = dataset_dir / DATALIST_JSON
    if not path.is_file():
        what = "holds no datalist.json" if dataset_dir.is_dir() else "is not a folder"
        raise InputError(dataset_dir, f"dataset_dir {what}", f"Prepare the data first: {_PREPARE}")
    return path.resolve()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        problem = f"is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        raise InputError(path, problem, "Correct that line, or prepare the data again") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not a text file", "Prepare the data again") from error
    if not isinstance(content, dict):
        raise InputError(path, "holds no JSON object", 'Write {"training": [...], "validation": [...], "test": [...]}')
    return content


def _items(content: Mapping[str, Any], name: str, path: Path) -> list[Any]:
    items = content.get(name, [])
    if not isinstance(items, list):
        raise InputError(path, f"the section {name!r} is not a list", 'Write it as [{"image": "..."}, ...]')
    return items


def _shape_problem(item: Any) -> str | None:
    """Say what keeps an entry from being an item at all."""
    if not isinstance(item, dict) or not isinstance(item.get(IMAGE), str):
        return f'{json.dumps(item)[:80]} is not an item. Write {{"image": "path", ...}}'
    if LABEL in item and not isinstance(item[LABEL], str):
        return f"label {item[LABEL]!r} is not a path. Leave the key out where the mask is unknown"
    if not isinstance(item.get(GROUP), str | int | None):
        return f"group {item[GROUP]!r} is not a name. Leave the key out where it is unknown"
    if SLICE in item and (type(item[SLICE]) is not int or item[SLICE] < 0):
        return f"slice {item[SLICE]!r} is not an index from 0. Leave the key out of a file of one slice"
    return None


def _with_paths(path: Path, name: str, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Load a section through MONAI, which makes paths absolute."""
    if not items:
        return []
    loaded: list[dict[str, Any]] = load_decathlon_datalist(path, is_segmentation=True, data_list_key=name)
    # MONAI makes a path of any other value that happens to name a file too, e.g. of a class called like a folder.
    return [
        {key: value if key in (IMAGE, LABEL) else item[key] for key, value in entry.items()}
        for entry, item in zip(loaded, items, strict=True)
    ]


def _class_list_problems(content: Mapping[str, Any], classes: Classes) -> list[str]:
    problems = []
    prepared = content.get("class_names")
    if prepared is not None and list(prepared) != list(classes):
        problems.append(
            f"it was prepared for the classes {list(prepared)}, but class_names is {list(classes)}. "
            f'Run with --class_names "{list(prepared)}", or prepare the data again'
        )
    if "empty_class" in content and content["empty_class"] != classes.empty:
        problems.append(
            f"its empty class is {content['empty_class']!r}, but empty_class is {classes.empty!r}. "
            f"Run with --empty_class {content['empty_class'] or 'none'}"
        )
    return problems


def _item_problems(item: dict[str, Any], classes: Classes, check_files: bool) -> Iterable[str]:
    """Yield what is wrong with an item; a class given by name becomes its index."""
    if CLASS in item:
        value = item[CLASS]
        if value in classes:
            item[CLASS] = classes.index(value)
        elif not (isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(classes)):
            yield (
                f"unknown class {value!r} of {item[IMAGE]}. Use one of {list(classes)}, an index from 0 to "
                f"{len(classes) - 1}, or leave the key out where the class is unknown"
            )
    if not check_files:
        return
    found = {}
    for key in (IMAGE, LABEL):
        if key not in item:
            continue
        try:
            found[key] = file_properties(Path(item[key]))
        except InputError as error:
            yield f"{key} {error}"
    if IMAGE in found and found[IMAGE].slice_count > 1 and SLICE not in item:
        yield (
            f"image {item[IMAGE]} holds {found[IMAGE].slice_count} slices where one slice is expected. Say which one "
            f'by "{SLICE}": N in the item (inference takes volumes by --slices all|middle|N)'
        )
    if len({(file.width, file.height) for file in found.values()}) > 1:
        image, label = found[IMAGE], found[LABEL]
        yield (
            f"label {item[LABEL]} is {label.width}x{label.height}, but its image {item[IMAGE]} is "
            f"{image.width}x{image.height}. Give the mask that belongs to the image, or leave the label out"
        )


def _divided_images(loaded: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    places: dict[str, list[str]] = defaultdict(list)
    for name, items in loaded.items():
        for number, item in enumerate(items):
            places[item[IMAGE]].append(f"{name}[{number}]")
    return [
        f"image {image} is listed {len(found)} times: {', '.join(found)}. Keep one of them"
        for image, found in places.items()
        if len(found) > 1
    ]


def _warn_of_divided_groups(loaded: Mapping[str, Sequence[Mapping[str, Any]]], path: Path, protocol: Any) -> None:
    sections: dict[Any, set[str]] = defaultdict(set)
    for name, items in loaded.items():
        for item in items:
            if item.get(GROUP) is not None:
                # What is learnt from stands on one side, wherever it comes from.
                sections[item[GROUP]].add(SECTIONS[0] if name == EXTRA else name)
    divided = [group for group, names in sections.items() if len(names) > 1]
    if divided:
        warnings.warn(
            f"{path}: {len(divided)} group(s), e.g. {divided[0]!r}, stand in more than one section (protocol "
            f"{protocol!r}): figures on this split are higher than on new patients. --protocol grouped avoids it.",
            stacklevel=5,
        )
