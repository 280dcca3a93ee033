"""Crosscheck: which images two folders share, as a table and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.data.copies import COPY_LIKENESS, Copy, find_copies
from braintumor_ext.data.file_properties import file_properties
from braintumor_ext.data.in_threads import map_in_threads
from braintumor_ext.data.thumbnails import framed_picture
from braintumor_ext.errors import InputError
from braintumor_ext.files import write_csv
from braintumor_ext.plain_text import printable
from braintumor_ext.plots import picture_grid, save_png
from braintumor_ext.transforms import find_images, read_grey

COPIES_CSV, COPIES_PNG = "copies.csv", "copies.png"


@dataclass(frozen=True)
class Crosscheck:
    """What was compared and found."""

    first: list[Path]  # the images of the first folder that could be read
    second: list[Path] | None  # those of the second; None where the first was compared with itself
    copies: list[Copy]
    likeness: float  # the least of a copy
    unreadable: list[InputError]

    def paths(self, copy: Copy) -> tuple[Path, Path]:
        """The two files of a pair."""
        return self.first[copy.first], (self.first if self.second is None else self.second)[copy.second]


def crosscheck(
    first: Path, second: Path | None, output: Path, likeness: float = COPY_LIKENESS, shown: int = 24
) -> Crosscheck:
    """Find the copies between two folders, or within one; write ``copies.csv`` and, if there are any, ``copies.png``.

    Args:
        first: a folder, searched to any depth, or one file.
        second: another; None to compare the first with itself.
        output: the folder to write to; the same files of an earlier run are replaced.
        likeness: the least of a copy.
        shown: how many pairs to draw: the least alike of them, which are the ones to doubt.

    Raises:
        InputError: if a folder is absent or none of its images can be read.
    """
    one, pictures, unreadable = _read(first)
    other, others = None, None
    if second is not None:
        other, others, more = _read(second)
        unreadable += more
    result = Crosscheck(one, other, find_copies(pictures, others, likeness), likeness, unreadable)
    rows: list[tuple[Any, ...]] = [("first", "second", "likeness", "mirrored")]
    for copy in result.copies:
        names = (path.as_posix() for path in result.paths(copy))
        rows.append((*names, f"{copy.likeness:.4f}", int(copy.mirrored)))
    write_csv(output / COPIES_CSV, rows)
    (output / COPIES_PNG).unlink(missing_ok=True)  # that of an earlier run would tell of other pairs
    if result.copies and shown > 0:
        _draw(result, sorted(result.copies, key=lambda copy: copy.likeness)[:shown], output / COPIES_PNG)
    return result


def summary(result: Crosscheck, output: Path) -> str:
    """Say in a few lines what a crosscheck found."""
    sides = [result.first] if result.second is None else [result.first, result.second]
    compared = " with ".join(f"{len(side):,}" for side in sides)
    mirrored = sum(copy.mirrored for copy in result.copies)
    lines = [
        f"compared: {compared} images; {len(result.unreadable):,} files could not be read",
        f"copies: {len(result.copies):,} pairs of likeness {result.likeness:g} or more, {mirrored:,} of them mirrored",
    ]
    if result.second is None:
        inside = {position for copy in result.copies for position in (copy.first, copy.second)}
        lines.append(f"images with a copy: {len(inside):,} of {len(result.first):,}")
    else:
        for which, (name, side) in enumerate(zip(("first", "second"), sides, strict=True)):
            count = len({copy[which] for copy in result.copies})
            lines.append(f"images of the {name} with a copy: {count:,} of {len(side):,}")
    lines.append(f"table: {output / COPIES_CSV}")
    if (output / COPIES_PNG).exists():
        lines.append(f"pictures, the least alike first: {output / COPIES_PNG}")
    return "\n".join(lines)


def _read(folder: Path) -> tuple[list[Path], np.ndarray, list[InputError]]:
    """The readable images below a folder, their framed pictures (N, 64, 64), and the problems of the others."""
    paths = find_images(folder)
    if not paths:
        raise InputError(folder, "holds no images", "Give a folder of PNG, JPEG, DICOM or other image files")
    read = map_in_threads(_framed, paths, f"reading {folder.name}")
    unreadable = [found for found in read if isinstance(found, InputError)]
    if len(unreadable) == len(paths):
        problem = f"none of its {len(paths)} image(s) can be read. The first one: {unreadable[0].problem}"
        raise InputError(folder, problem, unreadable[0].remedy)
    kept = [(path, found) for path, found in zip(paths, read, strict=True) if not isinstance(found, InputError)]
    return [path for path, _ in kept], np.stack([picture for _, picture in kept]), unreadable


def _framed(path: Path) -> np.ndarray | InputError:
    try:
        if (count := file_properties(path).slice_count) > 1:
            return InputError(path, f"holds {count} slices where one is expected", "Save them as files of their own")
        return framed_picture(read_grey(path))
    except InputError as problem:
        return problem


def _draw(result: Crosscheck, copies: Sequence[Copy], path: Path) -> None:
    """Draw pairs side by side, four pairs a row."""
    rows = -(-len(copies) // 4)
    figure, grid = picture_grid(rows, 8, 13, 1.95 * rows)
    for pair, copy in zip(grid.reshape(-1, 2), copies, strict=False):
        note = f"{copy.likeness:.3f}{' mirrored' if copy.mirrored else ''}"
        for axis, file, text in zip(pair, result.paths(copy), (note, ""), strict=True):
            axis.imshow(read_grey(file), cmap="gray", vmin=0, vmax=1)
            # A dollar sign would begin a formula.
            name = printable(file.stem).replace("$", r"\$")
            axis.set_title(f"{text}\n{name[-24:]}", fontsize=6, loc="left")
    save_png(figure, path)
