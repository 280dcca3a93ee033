"""A comparison as Markdown: the published layout, both baselines, an interval beside every figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from braintumor_ext.metrics.bootstrap import Estimate
from braintumor_ext.reporting import NONE, number, render_from, table, with_interval
from studies.comparison.published import PUBLISHED, PUBLISHED_SPLIT

NOT_RUN = "not run"
HASH_LENGTH = 12
MOST_TOLD = 5
METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "dice": "Dice"}
UNDEFINED: Estimate = {"value": None, "ci95": None}

Row = Mapping[str, Any]


def render_comparison(result: Mapping[str, Any]) -> str:
    """Return a comparison's Markdown report.

    Args:
        result: what comparison.json holds.
    """
    summaries = (row["summary"] for p in result["protocols"].values() for row in p["rows"] if row["summary"])
    return render_from(
        "studies.comparison",
        "comparison.md",
        title=result["title"],
        context={
            name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            for name, value in result["context"].items()
            if value is not None
        },
        draws=next((summary["bootstrap"]["n_draws"] for summary in summaries), None),
        class_names=result["class_names"],
        empty_class=result["empty_class"],
        protocols=[_shown(name, protocol, result) for name, protocol in result["protocols"].items()],
        ours=PUBLISHED["ours"],
        published_split=PUBLISHED_SPLIT,
        **{
            function.__name__: function
            for function in (
                amount,
                difference_table,
                duration,
                estimate_at,
                gives_masks,
                mean_and_sd,
                model_table,
                per_cent,
                published_accuracy,
                published_parameters,
                section_at,
                split_table,
                temperatures,
                without,
            )
        },
    )


def _shown(name: str, protocol: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a protocol with what its part of the report asks of it."""
    trained = [row for row in protocol["rows"] if row["status"] != NOT_RUN]
    networks = [row for row in trained if not is_trivial_baseline(row)]
    return {
        **protocol,
        "name": name,
        "trained": trained,
        "networks": networks,
        "beside": is_as_published(result, name),
        "places": len({place for row in networks for place in section_at(row, "cost").get("hardware", [])}),
    }


def row_name(row: Row) -> str:
    """Return a row's title, with the number of its runs if it has not all of them."""
    partial = f", partial ({row['runs']} of {row['of']})" if row["status"] == "partial" else ""
    return row["title"] + partial


def is_trivial_baseline(row: Row) -> bool:
    """Return whether a row is a trivial baseline: its probabilities are 0 or 1, it has no masks and costs nothing."""
    return row["kind"] == "trivial baseline"


def is_as_published(result: Mapping[str, Any], protocol: str) -> bool:
    """Return whether published figures may stand beside: they are of a random split's test slices."""
    return protocol == "random" and result["context"].get("section", "test") == "test"


def section_at(values: Mapping[str, Any] | None, *path: str) -> Mapping[str, Any]:
    """Return what stands at a path of keys; an empty mapping if nothing does."""
    found: Any = values
    for key in path:
        found = found.get(key) if found is not None else None
    return {} if found is None else found


def estimate_at(values: Mapping[str, Any] | None, *path: str) -> Estimate:
    """Return the estimate at a path of keys; an undefined one if there is none."""
    return dict(section_at(values, *path)) or UNDEFINED


def without(estimate: Mapping[str, Any]) -> Estimate:
    """Turn the share of slices that have something into the share of those that have not."""
    if estimate["value"] is None:
        return UNDEFINED
    ends = estimate["ci95"]
    return {"value": 1 - estimate["value"], "ci95": None if ends is None else [1 - ends[1], 1 - ends[0]]}


def gives_masks(row: Row) -> bool:
    """Return whether any of a row's masks was scored."""
    if is_trivial_baseline(row) or row["summary"] is None:
        return False
    found = row["summary"]["segmentation"]
    return found["tumour_slices"]["n"] > 0 or (found["no_tumour_slices"] or {"n": 0})["n"] > 0


def model_table(
    header: Sequence[str],
    rows: Sequence[Row],
    cells: Callable[[Row], str],
    told_anyway: Callable[[Row], str] | None = None,
) -> str:
    """Return a table with a line for each row: its name and its cells, ``not run`` in their place if not trained.

    Args:
        header: the columns' names.
        rows: models and baselines.
        cells: what a trained row's line holds, one cell a line; blanks follow to the table's width.
        told_anyway: the cell that follows ``not run``.
    """
    lines = [
        [row["title"], NOT_RUN, *([told_anyway(row)] if told_anyway else [])]
        if row["status"] == NOT_RUN
        else [row_name(row), *cells(row).splitlines()]
        for row in rows
    ]
    return table(header, [[*line, *[""] * (len(header) - len(line))] for line in lines])


def split_table(splits: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the splits: name, hash and counts."""
    rows = [
        [split["name"], f"`{split['hash'][:HASH_LENGTH]}`", *(f"{n:,}" for n in split["counts"].values())]
        for split in splits
    ]
    return table(["split", "hash", *splits[0]["counts"]], rows)


def difference_table(protocol: Mapping[str, Any]) -> str:
    """Return a table of a protocol's paired differences with their tests."""
    titles = {row["model"]: row["title"].partition(":")[0] for row in protocol["rows"]}
    rows = [
        [
            f"{titles.get(found['a'], found['a'])} minus {titles.get(found['b'], found['b'])}",
            METRIC_NAMES.get(found["metric"], found["metric"]),
            f"{found['n']:,}",
            difference_text(found),
            p_text(found["p"]),
            p_text(found["p_holm"]),
            found["test"],
        ]
        for found in protocol["differences"]
    ]
    return table(["difference", "in", "slices", "value", "p", "p after Holm", "test"], rows)


def per_cent(estimate: Mapping[str, Any]) -> str:
    """Return an estimate in [0, 1] in per cent, as ``92.7 (90.1 to 95.2)``."""
    value, ends = estimate["value"], estimate["ci95"]
    scaled = None if value is None else 100 * value
    return with_interval({"value": scaled, "ci95": None if ends is None else [100 * end for end in ends]}, 1)


def amount(value: float | None, scale: float, digits: int) -> str:
    """Return a value in another unit, with so many digits behind the point and commas before it."""
    return NONE if value is None else f"{scale * value:,.{digits}f}"


def mean_and_sd(values: Mapping[str, Any], scale: float, digits: int) -> str:
    """Return ``mean`` and ``sd`` as ``80.0 ± 1.2``."""
    if values.get("mean") is None:
        return NONE
    mean = number(scale * values["mean"], digits)
    return mean if values["sd"] is None else f"{mean} ± {number(scale * values['sd'], digits)}"


def temperatures(values: Sequence[float]) -> str:
    """Return the runs' temperatures, of many the least and the most."""
    if len(values) > MOST_TOLD:
        return f"{number(min(values), 2)} to {number(max(values), 2)} ({len(values)} runs)"
    return ", ".join(number(value, 2) for value in values) or NONE


def published_accuracy(row: Row) -> str:
    """Return a model's published accuracy in per cent."""
    return f"{PUBLISHED[row['model']].accuracy:.2f}" if row["model"] in PUBLISHED else NONE


def published_parameters(row: Row) -> str:
    """Return a model's published parameter count."""
    figures = PUBLISHED.get(row["model"])
    if figures is None or figures.parameters is None:
        return NONE
    return figures.parameters + (" (1000-class)" if figures.thousand_classes else "")


def difference_text(found: Mapping[str, Any]) -> str:
    """Return a difference as ``+1.2 points (0.3 to 2.1)``; Dice is not in points but as it is, ``+0.012 (...)``."""
    scale, digits, unit = (1, 3, "") if found["metric"] == "dice" else (100, 1, " points")
    if found["difference"] is None:
        return NONE
    # Adding zero turns a rounded minus zero into zero.
    value = f"{round(scale * found['difference'], digits) + 0.0:+.{digits}f}{unit}"
    if found["ci95"] is None:
        return value
    lower, upper = (f"{round(scale * end, digits) + 0.0:.{digits}f}" for end in found["ci95"])
    return f"{value} ({lower} to {upper})"


def p_text(p: float | None) -> str:
    """Return a p value with three digits, small ones as a bound."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else number(p)


def duration(seconds: float | None) -> str:
    """Return a time with its unit: ``8.3 s``, ``12.5 min`` or ``1.2 h``."""
    if seconds is None:
        return NONE
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5997 else f"{seconds / 3600:.1f} h"
