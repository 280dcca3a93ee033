"""Whether a change is an improvement: its mean gain over paired runs against that mean's standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braintumor_ext.errors import InputError
from braintumor_ext.metrics.records import SliceRecord
from braintumor_ext.reporting import NONE, number, table
from studies.comparison.scores import run_scores

LEAST_RUNS = 3
SCORE = "score"
NAMES = {SCORE: "score", "accuracy": "accuracy", "macro_f1": "macro F1", "dice": "Dice"}
"""What is compared; the first one decides."""
RULE = (
    f"Kept if, over at least {LEAST_RUNS} pairs of runs, the mean gain in the score (the mean of macro F1 and Dice, by "
    "which a training chooses its best epoch; of macro F1 alone where a run has no masks) exceeds its standard error."
)


def judge(
    before: Mapping[str, Sequence[SliceRecord]], after: Mapping[str, Sequence[SliceRecord]], num_classes: int
) -> dict[str, Any]:
    """Pair the runs that predicted the same slices, and compare their scores.

    Runs on the same slices (several seeds of one split) are paired in their order.

    Args:
        before: each run's name and its predictions without the change.
        after: the same with it.
        num_classes: K.

    Returns:
        ``pairs``: ``before`` and ``after`` (names), ``slices``, ``scores`` (metric to the two values); ``gains``:
        metric to ``mean``, ``standard_error`` (sample standard deviation over the root of the number of pairs; None
        for fewer than two) and ``values``; ``kept``, None for fewer than :data:`LEAST_RUNS` pairs.

    Raises:
        InputError: a run has no partner, or partners do not agree on what is true.
    """
    pairs: list[dict[str, Any]] = []
    for name, partner in _paired(before, after):
        scores = [run_scores(records, num_classes) for records in (before[name], after[partner])]
        shared = [part for part in ("macro_f1", "dice") if not any(np.isnan(score[part]) for score in scores)]
        scores = [{**score, SCORE: float(np.mean([score[part] for part in shared] or np.nan))} for score in scores]
        pairs.append(
            {
                "before": name,
                "after": partner,
                "slices": len(before[name]),
                "scores": {metric: [score[metric] for score in scores] for metric in NAMES},
            }
        )
    gains = {metric: _gain([pair["scores"][metric] for pair in pairs]) for metric in NAMES}
    decisive = gains[SCORE]
    enough = len(decisive["values"]) >= LEAST_RUNS
    return {"pairs": pairs, "gains": gains, "kept": decisive["mean"] > decisive["standard_error"] if enough else None}


def _gain(values: Sequence[Sequence[float]]) -> dict[str, Any]:
    gains = [after - before for before, after in values if not np.isnan(after - before)]
    return {
        "mean": float(np.mean(gains)) if gains else None,
        "standard_error": float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None,
        "values": gains,
    }


def _paired(
    before: Mapping[str, Sequence[SliceRecord]], after: Mapping[str, Sequence[SliceRecord]]
) -> list[tuple[str, str]]:
    free: dict[frozenset[str], list[str]] = {}
    for name, records in after.items():
        free.setdefault(frozenset(record.image for record in records), []).append(name)
    pairs = []
    for name, records in before.items():
        partners = free.get(frozenset(record.image for record in records))
        if not partners:
            raise InputError(
                name, "no run with the change predicted the same slices", "Give both sides the same splits"
            )
        pairs.append((name, partners.pop(0)))
        truth = {record.image: record.true_class for record in records}
        for record in after[pairs[-1][1]]:
            if record.true_class != truth[record.image]:
                remedy = f"Compare with predictions for the same data: {name} says {truth[record.image]}"
                raise InputError(pairs[-1][1], f"the class of {record.image} is {record.true_class}", remedy)
    left = [name for names in free.values() for name in names]
    if left:
        problem = "no run without the change predicted the same slices"
        raise InputError(left[0], problem, "Give both sides the same splits")
    return pairs


def render_judgement(judgement: Mapping[str, Any], title: str) -> str:
    """Return a judgement as Markdown.

    Args:
        judgement: of :func:`judge`.
        title: its heading.
    """
    lines = [
        [
            _short(pair["before"], pair["after"]),
            f"{pair['slices']:,}",
            *(f"{number(a)} → {number(b)}" for a, b in pair["scores"].values()),
        ]
        for pair in judgement["pairs"]
    ]
    gains = [_gain_text(gain) for gain in judgement["gains"].values()]
    verdict = {True: "kept", False: "not kept", None: f"not judged: fewer than {LEAST_RUNS} pairs"}[judgement["kept"]]
    header = ["run", "slices", *NAMES.values()]
    mean = ["mean gain ± its standard error", "", *gains]
    return f"# {title}\n\n{RULE}\n\n{table(header, [*lines, mean])}\n\n**{verdict}**\n"


def _gain_text(gain: Mapping[str, Any]) -> str:
    if gain["mean"] is None:
        return NONE
    return f"{gain['mean']:+.3f}" + (f" ± {gain['standard_error']:.3f}" if gain["standard_error"] is not None else "")


def _short(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
