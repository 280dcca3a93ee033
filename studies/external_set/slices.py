"""The slices of an external set: a folder for each sequence, in it one for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from braintumor_ext.classes import Classes, class_of_folder
from braintumor_ext.data.folder_scan import read_groups, scan_folder
from braintumor_ext.errors import InputError
from braintumor_ext.transforms import find_images

MASKS, GROUPS = "masks", "groups.csv"
_LAYOUT = "Lay the slices out as SEQUENCE/CLASS/FILE, with slices of a tumour class and of the class without tumour"


@dataclass(frozen=True)
class ExternalSlice:
    """One file of an external set.

    Args:
        name: sequence, class folder and file name, with forward slashes.
        path: the file.
        class_name: the class that its folder stands for.
        mask: the file of its true mask; None if there is none.
        patient: whose slice it is.
    """

    name: str
    path: Path
    class_name: str
    mask: Path | None
    patient: str


def find_slices(
    data: Path,
    classes: Classes,
    sequences: Sequence[str] | None = None,
    masks: Path | None = None,
    groups: Path | None = None,
) -> tuple[dict[str, list[ExternalSlice]], list[str]]:
    """Find the slices of each sequence, ``data/<sequence>/<class>/<file>``.

    Args:
        data: the folder.
        classes: those of the model; one is without tumour.
        sequences: the folders to take; None for all but the masks'.
        masks: holds ``<sequence>/<class>/<stem>.png``, or ``<class>/<stem>.png`` where the sequences share them; None
            for ``data/masks``, which may be absent.
        groups: CSV with the columns image (from the sequence on) and group, the patient; None for ``data/groups.csv``.

    Returns:
        The slices by sequence, and remarks on what was left out.

    Raises:
        InputError: a folder is absent, a class folder is empty, a sequence lacks slices with or without tumour, or the
            patient of a slice is not told.
    """
    for folder in (data, masks):
        if folder is not None and not folder.is_dir():
            raise InputError(folder, "is not a folder", _LAYOUT)
    own_masks = data / MASKS if masks is None else masks
    names = list(sequences or _sequences(data, own_masks))
    if not names:
        raise InputError(data, "holds no folder of a sequence", _LAYOUT)
    scans, remarks = {}, []
    for name in names:
        _check_class_folders(data / name, classes)
        of_sequence = own_masks / name if (own_masks / name).is_dir() else own_masks
        scan = scan_folder(data / name, of_sequence if of_sequence.is_dir() else None, classes=classes, whole=False)
        with_tumour = {found.class_name != classes.empty for found in scan.slices}
        if with_tumour != {True, False}:
            lacking = "without tumour" if with_tumour == {True} else "with tumour"
            raise InputError(data / name, f"holds no slices {lacking}", _LAYOUT)
        scans[name] = scan.slices
        remarks += [*map(str, scan.left_out), *scan.notes]
    table = data / GROUPS if groups is None else groups
    keys = [f"{name}/{found.key}" for name in names for found in scans[name]]
    patients, notes = read_groups(table, keys)
    if unknown := [key for key in keys if key not in patients]:
        problem = f"does not tell the patient of {len(unknown)} slice(s), such as {unknown[0]}"
        raise InputError(table, problem, "Add a row for each: slices of one patient are no independent trials")
    slices = {
        name: [
            ExternalSlice(
                f"{name}/{found.key}", found.path, found.class_name, found.mask, patients[f"{name}/{found.key}"]
            )
            for found in scans[name]
        ]
        for name in names
    }
    return slices, remarks + (notes if sequences is None else [])  # else rows of the others are no surprise


def _sequences(data: Path, masks: Path) -> list[str]:
    folders = sorted(f for f in data.iterdir() if f.is_dir() and not f.name.startswith("."))
    return [folder.name for folder in folders if folder.resolve() != masks.resolve()]


def _check_class_folders(sequence: Path, classes: Classes) -> None:
    """A class folder without files is a mistake that would only show in a count."""
    for folder in sorted(sequence.iterdir()) if sequence.is_dir() else ():
        if folder.is_dir() and class_of_folder(folder.name, classes) and not find_images(folder):
            raise InputError(folder, "holds no images", "Put the slices of the class in it, or remove the folder")
