"""Where a checkpoint fails: accuracy and Dice by source, plane and tumour size, and its most confident errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.suspicions import looks_like_ct
from braintumor_ext.files import write_text
from braintumor_ext.keys import UNKNOWN
from braintumor_ext.metrics.bootstrap import GroupBootstrap
from braintumor_ext.reporting import render_from
from braintumor_ext.transforms import read_grey
from studies.evaluated_slices import EvaluatedSlice
from studies.group_sources import PATIENT, SIMILARITY

USUAL_SIDE = 512
"""Most of the public set's slices are 512x512; most of its others show no tumour."""

TUMOUR_SIZES = {"under 1%": 0.01, "1 to 3%": 0.03, "over 3%": 1.0}
"""Up to which share of the picture's pixels a tumour is of a size."""

SOURCE_TITLES = {PATIENT: "patient known", SIMILARITY: "patient unknown, near-duplicates grouped"}


def known_failures(
    slices: Sequence[EvaluatedSlice], classes: Classes, n_draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Return accuracy and Dice of an evaluation by class and source, plane and tumour size, as JSON can hold it.

    Intervals are of a bootstrap over groups. A class with few groups in a part has a wide one, or none.

    Args:
        slices: what was evaluated; slices of unknown class are left out.
        n_draws: draws of the bootstrap.
        seed: the draws' seed.

    Raises:
        ValueError: no slice has a known class.
    """
    known = sorted((s for s in slices if s.record.true_class != UNKNOWN), key=lambda s: s.source)
    if not known:
        raise ValueError("no evaluated slice has a known class")
    bootstrap = GroupBootstrap([s.record.group for s in known], n_draws, seed)
    right = np.array([s.record.predicted_class == s.record.true_class for s in known], dtype=float)

    def accuracy(belongs: Callable[[EvaluatedSlice], bool]) -> dict[str, Any]:
        """Of the slices that belong to a part: how many, of how many groups, and the share of right predictions."""
        inside = np.array([belongs(s) for s in known])
        return {
            **bootstrap.mean(np.where(inside, right, np.nan)),
            "groups": len(np.unique(bootstrap.group_index[inside])),
            "errors": int(inside.sum() - right[inside].sum()),
        }

    dice = np.array([s.record.dice if _tumour_share(s) else np.nan for s in known])

    def mean_dice(belongs: Callable[[EvaluatedSlice], bool]) -> dict[str, Any]:
        """Of the tumour slices with a known mask that belong to a part."""
        inside = np.array([belongs(s) for s in known]) & ~np.isnan(dice)
        groups = len(np.unique(bootstrap.group_index[inside]))
        return {**bootstrap.mean(np.where(inside, dice, np.nan)), "groups": groups}

    def by_class(part: Callable[[EvaluatedSlice], bool]) -> dict[str, Any]:
        rows = {"all": accuracy(part)}
        for index, name in enumerate(classes):
            rows[name] = accuracy(lambda s, index=index: part(s) and s.record.true_class == index)  # type: ignore[misc]
        return rows

    parts = {"all slices": by_class(lambda s: True)}
    for source in sorted({s.group_source for s in known if s.group_source is not None}):
        title = SOURCE_TITLES.get(source, f"group known by {source}")
        parts[title] = by_class(lambda s, source=source: s.group_source == source)  # type: ignore[misc]
    parts[f"{USUAL_SIDE}x{USUAL_SIDE}"] = by_class(_is_usual)
    parts["another size"] = by_class(lambda s: not _is_usual(s))
    if any(s.copied is not None for s in known):
        parts["with a copy among the extra slices, left out"] = by_class(lambda s: s.copied is True)
        parts["without one"] = by_class(lambda s: s.copied is not True)
    finer: dict[str, Callable[[EvaluatedSlice], bool]] = {
        plane: lambda s, plane=plane: s.plane == plane  # type: ignore[misc]
        for plane in sorted({s.plane for s in known if s.plane is not None})
    }
    for title in TUMOUR_SIZES:
        finer[f"tumour {title} of the picture"] = lambda s, title=title: _tumour_size(s) == title  # type: ignore[misc]
    parts |= {name: by_class(part) for name, part in finer.items()}
    patients_are_usual = all((s.group_source == PATIENT) == _is_usual(s) for s in known)
    confusions = Counter(
        (classes[s.record.true_class], classes[s.record.predicted_class])
        for s in known
        if s.record.predicted_class != s.record.true_class
    )
    empty = classes.empty_index
    return {
        "slices": len(known),
        "groups": bootstrap.n_groups,
        "bootstrap": {"n_draws": n_draws, "seed": seed},
        "patient_known_is_usual_size": patients_are_usual,
        "parts": {name: rows for name, rows in parts.items() if rows["all"]["n"]},
        "dice": {
            name: {"all": mean_dice(part)}
            | {
                title: mean_dice(lambda s, index=index, part=part: part(s) and s.record.true_class == index)  # type: ignore[misc]
                for index, title in enumerate(classes)
                if title != classes.empty
            }
            for name, part in {"all slices": lambda s: True, **finer}.items()
        },
        "planes_known": sum(s.plane is not None for s in known),
        "confusions": [{"true": t, "predicted": p, "n": n} for (t, p), n in confusions.most_common()],
        "size_rule": None if empty is None else _size_rule(known, empty, accuracy),
        "ct_like": None if empty is None else _ct_like(known, empty, accuracy),
    }


def _tumour_share(slice_: EvaluatedSlice) -> float:
    """Return the share of the picture that the true mask takes; 0 where it is empty or unknown."""
    return slice_.record.true_area_px / (slice_.width * slice_.height)


def _tumour_size(slice_: EvaluatedSlice) -> str | None:
    share = _tumour_share(slice_)
    return next((title for title, most in TUMOUR_SIZES.items() if 0 < share <= most), None)


def _is_usual(slice_: EvaluatedSlice) -> bool:
    return (slice_.width, slice_.height) == (USUAL_SIDE, USUAL_SIDE)


def _size_rule(
    known: Sequence[EvaluatedSlice],
    empty: int,
    accuracy: Callable[[Callable[[EvaluatedSlice], bool]], dict[str, Any]],
) -> dict[str, Any]:
    """What the size alone tells, and the model's accuracy where it tells the truth and where it misleads."""

    def tells_the_truth(slice_: EvaluatedSlice) -> bool:
        return (slice_.record.true_class == empty) != _is_usual(slice_)

    unusual = [s for s in known if not _is_usual(s)]
    without = [s for s in known if s.record.true_class == empty]
    hits = sum(s.record.true_class == empty for s in unusual)
    return {
        "recall": hits / len(without) if without else None,
        "precision": hits / len(unusual) if unusual else None,
        "where_it_is_right": accuracy(tells_the_truth),
        "where_it_is_wrong": accuracy(lambda s: not tells_the_truth(s)),
    }


def _ct_like(
    known: Sequence[EvaluatedSlice],
    empty: int,
    accuracy: Callable[[Callable[[EvaluatedSlice], bool]], dict[str, Any]],
) -> dict[str, Any]:
    """Accuracy on slices without tumour that look like CT; only of this class the rule was checked by eye."""
    without = [s for s in known if s.record.true_class == empty and s.path.is_file()]
    found = {s.source for s in without if looks_like_ct(read_grey(s.path, allow_constant=True))}
    return {
        "looked_at": len(without),
        "ct_like": accuracy(lambda s: s.source in found and s.record.true_class == empty),
        "others": accuracy(lambda s: s.source not in found and s.record.true_class == empty),
    }


def worst_errors(slices: Sequence[EvaluatedSlice], count: int = 16) -> list[EvaluatedSlice]:
    """Return the errors that the model was most sure of, the surest first.

    Args:
        slices: what was evaluated.
        count: how many at most.
    """
    errors = [s for s in slices if s.record.true_class not in (UNKNOWN, s.record.predicted_class)]
    return sorted(errors, key=lambda s: (-s.record.confidence, s.source))[:count]


def write_known_failures(
    content: Mapping[str, Any],
    path: str | PathLike[str],
    worst: Sequence[EvaluatedSlice] = (),
    classes: Classes = CLASSES,
    context: Mapping[str, Any] | None = None,
) -> None:
    """Write the report as Markdown.

    Args:
        content: what :func:`known_failures` returned.
        path: ``known_failures.md``.
        worst: the errors to list by name.
        context: what the numbers belong to (checkpoint, split, date).
    """
    write_text(Path(path), render_known_failures(content, worst, classes, context or {}))


def render_known_failures(
    content: Mapping[str, Any], worst: Sequence[EvaluatedSlice], classes: Classes, context: Mapping[str, Any]
) -> str:
    """Return the Markdown report; the arguments are those of :func:`write_known_failures`."""
    return render_from(
        "studies.known_failures",
        "known_failures.md",
        **content,
        worst=worst,
        classes=classes,
        context=context,
        side=USUAL_SIDE,
        patient_known=SOURCE_TITLES[PATIENT],
    )
