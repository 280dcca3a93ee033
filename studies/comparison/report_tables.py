"""A comparison as Markdown: the published layout, both baselines, an interval beside every figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from braintumor_ext.classes import display_name
from braintumor_ext.metrics.bootstrap import Estimate
from braintumor_ext.reporting import NONE, number, table, with_interval
from studies.comparison.published import PUBLISHED, PUBLISHED_SPLIT

NOT_RUN = "not run"
NO_MASK = "no mask"
HASH_LENGTH = 12
MOST_TOLD = 5
METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "dice": "Dice"}
PROTOCOL_TEXTS = {
    "grouped": "Grouped cross-validation: no group is divided between training, validation and test; the answers to "
    "all folds' test slices are pooled.",
    "random": "Random split by image, as published: slices of one patient stand on both sides. The answers to all "
    "seeds' test slices are pooled; a slice that several seeds test counts as often.",
}
UNDEFINED: Estimate = {"value": None, "ci95": None}

Row = Mapping[str, Any]


def render_comparison(result: Mapping[str, Any]) -> str:
    """Return a comparison's Markdown report.

    Args:
        result: what comparison.json holds.
    """
    parts = [_head(result)]
    for name, protocol in result["protocols"].items():
        parts += [f"## {name.capitalize()} protocol", _protocol_head(name, protocol)]
        parts += _scores(is_as_published(result, name), protocol["rows"])
        parts += _masks(protocol["rows"], result["empty_class"])
        parts += _probabilities(protocol["rows"])
        parts += _classes(protocol["rows"], result["class_names"], result["empty_class"])
        parts += _spread(protocol["rows"])
        parts += _group_weighted(protocol["rows"])
        parts += _differences(name, protocol)
        parts += _cost(protocol["rows"])
    return "\n\n".join(parts) + "\n"


def row_name(row: Row) -> str:
    """Return a row's title, with the number of its runs if it has not all of them."""
    partial = f", partial ({row['runs']} of {row['of']})" if row["status"] == "partial" else ""
    return row["title"] + partial


def is_trivial_baseline(row: Row) -> bool:
    """Return whether a row is a trivial baseline: its probabilities are 0 or 1, it has no masks and costs nothing."""
    return row["kind"] == "trivial baseline"


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


def _head(result: Mapping[str, Any]) -> str:
    lines = [f"# {result['title']}", ""]
    lines += [
        f"- {name.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in result["context"].items()
        if value is not None
    ]
    summaries = (row["summary"] for p in result["protocols"].values() for row in p["rows"] if row["summary"])
    draws = next((summary["bootstrap"]["n_draws"] for summary in summaries), None)
    if draws is not None:
        lines.append(f"- in brackets: 95% interval by bootstrap over groups ({draws} draws)")
    lines.append(
        f"- {NONE}: undefined, or not published; {NOT_RUN}: not trained; partial: so many runs of those planned"
    )
    return "\n".join(lines)


def _protocol_head(name: str, protocol: Mapping[str, Any]) -> str:
    lines = [
        PROTOCOL_TEXTS.get(name, ""),
        "",
        *([f"- grouping: {protocol['grouping']}"] if protocol.get("grouping") else []),
        f"- {protocol['slices']:,} slices of {protocol['groups']:,} groups",
    ]
    splits = [
        [split["name"], f"`{split['hash'][:HASH_LENGTH]}`", *(f"{n:,}" for n in split["counts"].values())]
        for split in protocol["splits"]
    ]
    sections = list(protocol["splits"][0]["counts"]) if splits else []
    return "\n".join(lines) + ("\n\n" + table(["split", "hash", *sections], splits) if splits else "")


def _table(
    header: Sequence[str],
    rows: Sequence[Row],
    cells: Callable[[Row], list[str]],
    told_anyway: Callable[[Row], list[str]] = lambda row: [],
) -> str:
    """A table with a line for each row: its name and its cells, ``not run`` in their place if it was not trained.

    Args:
        header: the columns' names.
        rows: models and baselines.
        cells: what a trained row's line holds; blanks follow to the table's width.
        told_anyway: what follows ``not run``.
    """
    lines = [
        [row["title"], NOT_RUN, *told_anyway(row)] if row["status"] == NOT_RUN else [row_name(row), *cells(row)]
        for row in rows
    ]
    return table(header, [[*line, *[""] * (len(header) - len(line))] for line in lines])


def _networks(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if not is_trivial_baseline(row)]


def _percent(estimate: Mapping[str, Any]) -> str:
    """An estimate in [0, 1] in per cent, as ``92.7 (90.1 to 95.2)``."""
    value, ends = estimate["value"], estimate["ci95"]
    scaled = None if value is None else 100 * value
    return with_interval({"value": scaled, "ci95": None if ends is None else [100 * end for end in ends]}, 1)


def is_as_published(result: Mapping[str, Any], protocol: str) -> bool:
    """Return whether published figures may stand beside: they are of a random split's test slices."""
    return protocol == "random" and result["context"].get("section", "test") == "test"


def _scores(beside: bool, rows: Sequence[Row]) -> list[str]:

    def published(row: Row) -> list[str]:
        return [_published_accuracy(row)] if beside else []

    def cells(row: Row) -> list[str]:
        values = row["summary"]["classification"]
        rates = [_percent(values[name]) for name in ("macro_precision", "macro_recall", "macro_f1")]
        return [_percent(values["accuracy"]), *published(row), *rates, f"{values['n']:,}"]

    header = ["model", "accuracy", *(["published"] if beside else []), "precision", "recall", "F1", "slices"]
    parts = [
        "### Class",
        "In per cent. Precision, recall and F1 are means over the classes (macro).",
        _table(header, rows, cells, published),
    ]
    if beside:
        ours, counts = PUBLISHED["ours"], " / ".join(f"{n:,}" for n in PUBLISHED_SPLIT.values())
        parts.append(
            f"Published: a random split of {counts} slices, without intervals. Of ours also precision "
            f"{ours.precision}, recall {ours.recall}, F1 {ours.f1}; the kind of average is not named. No count of "
            f"{PUBLISHED_SPLIT['test']} slices gives any of the published accuracies: see "
            "docs/explanation/published-numbers.md."
        )
    return parts


def _published_accuracy(row: Row) -> str:
    return f"{PUBLISHED[row['model']].accuracy:.2f}" if row["model"] in PUBLISHED else NONE


def _masks(rows: Sequence[Row], empty_class: str | None) -> list[str]:
    def cells(row: Row) -> list[str]:
        if not gives_masks(row):
            return [NO_MASK]
        found = row["summary"]["segmentation"]
        tumour, empty = found["tumour_slices"], found["no_tumour_slices"]
        told = [f"{tumour['n']:,}", with_interval(tumour["dice"]), f"{tumour['missed']:,}"]
        if empty is None:
            return told
        return [*told, f"{empty['n']:,}", *(_percent(without(empty[gate])) for gate in ("raw", "gated"))]

    header = ["model", "tumour slices", "Dice", "missed"]
    text = "Dice: mean over tumour slices with a known mask. A tumour without any predicted pixel is missed: Dice 0."
    if empty_class is not None:
        header += [f"{display_name(empty_class)} slices", "without a predicted pixel, %", "the same, gated, %"]
        text += " Gated: a mask counts only if the predicted class has tumour."
    return ["### Mask", text, _table(header, _networks(rows), cells)]


def _probabilities(rows: Sequence[Row]) -> list[str]:
    names = ("ece", "nll", "brier")

    def raw(row: Row) -> list[str]:
        auc = with_interval(estimate_at(row["summary"], "classification", "macro_roc_auc"))
        return [auc, *(with_interval(estimate_at(row["summary"], "calibration", name)) for name in names)]

    def after(row: Row) -> list[str]:
        values = row.get("after_temperature")
        return [
            _temperatures((values or {}).get("temperatures") or []),
            *(with_interval(estimate_at(values, name)) for name in names),
        ]

    header = ["calibration error", "negative log-likelihood", "Brier score"]
    return [
        "### Probabilities",
        "Macro ROC AUC: one versus rest. Calibration error: 15 bins, top label. As trained:",
        _table(["model", "macro ROC AUC", *header], _networks(rows), raw),
        "After one temperature a run, fitted on its validation slices:",
        _table(["model", "temperatures", *header], _networks(rows), after),
    ]


def _temperatures(values: Sequence[float]) -> str:
    if len(values) > MOST_TOLD:
        return f"{number(min(values), 2)} to {number(max(values), 2)} ({len(values)} runs)"
    return ", ".join(number(value, 2) for value in values) or NONE


def _classes(rows: Sequence[Row], class_names: Sequence[str], empty_class: str | None) -> list[str]:
    parts = ["### Per class", "Recall, precision and F1 in per cent."]
    for name in class_names:
        has_mask = name != empty_class

        def cells(row: Row, name: str = name, has_mask: bool = has_mask) -> list[str]:
            values = row["summary"]["per_class"][name]
            told = [f"{values['support']:,}", *(_percent(values[rate]) for rate in ("recall", "precision", "f1"))]
            dice = estimate_at(row["summary"], "segmentation", "tumour_slices", "per_class", name, "dice")
            told += [with_interval(dice) if gives_masks(row) else NO_MASK] if has_mask else []
            return [*told, NONE if is_trivial_baseline(row) else with_interval(values["roc_auc"])]

        header = ["slices", "recall", "precision", "F1", *(["Dice"] if has_mask else []), "ROC AUC"]
        parts.append(_table([f"**{display_name(name)}**", *header], rows, cells))
    return parts


def _spread(rows: Sequence[Row]) -> list[str]:
    def cells(row: Row) -> list[str]:
        values = row.get("spread") or {}
        return [
            str(row["runs"]),
            _mean_and_sd(values.get("accuracy"), 100, 1),
            _mean_and_sd(values.get("macro_f1"), 100, 1),
            NO_MASK if not gives_masks(row) else _mean_and_sd(values.get("dice"), 1, 3),
        ]

    text = "Mean and standard deviation over the runs (folds, seeds), each run scored by itself."
    header = ["model", "runs", "accuracy, %", "macro F1, %", "Dice"]
    return ["### Run by run", text, _table(header, rows, cells)]


def _mean_and_sd(values: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    if values is None or values["mean"] is None:
        return NONE
    mean = number(scale * values["mean"], digits)
    return mean if values["sd"] is None else f"{mean} ± {number(scale * values['sd'], digits)}"


def _group_weighted(rows: Sequence[Row]) -> list[str]:
    def cells(row: Row) -> list[str]:
        values = row.get("group_weighted")
        dice = with_interval(estimate_at(values, "dice")) if gives_masks(row) else NO_MASK
        return [_percent(estimate_at(values, "accuracy")), dice]

    text = "Each group weighs the same, however many slices it has: the mean over groups of the group's mean."
    return ["### Each group weighs the same", text, _table(["model", "accuracy, %", "Dice"], rows, cells)]


def _differences(protocol: str, values: Mapping[str, Any]) -> list[str]:
    titles = {row["model"]: row["title"].partition(":")[0] for row in values["rows"]}
    lines = [
        [
            f"{titles.get(found['a'], found['a'])} minus {titles.get(found['b'], found['b'])}",
            METRIC_NAMES.get(found["metric"], found["metric"]),
            f"{found['n']:,}",
            difference_text(found),
            p_text(found["p"]),
            p_text(found["p_holm"]),
            found["test"],
        ]
        for found in values.get("differences") or []
    ]
    if not lines:
        return []
    text = (
        "On the slices that both answered. Holm's correction is over all comparisons of this table's test and metric."
    )
    if any("McNemar" in line[-1] for line in lines):
        text += (
            " McNemar's test takes slices as independent. It stands here for the random protocol only, where slices of "
            "one patient stand on both sides: it says nothing of new patients. Its row's interval is the bootstrap's."
        )
    header = ["difference", "in", "slices", "value", "p", "p after Holm", "test"]
    return ["### Differences", text, table(header, lines)]


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


def _cost(rows: Sequence[Row]) -> list[str]:
    def size(row: Row) -> list[str]:
        cost = row.get("cost") or {}
        return [_count(cost.get("parameters")), _published_parameters(row), _megabytes(cost.get("file_bytes"))]

    def effort(row: Row) -> list[str]:
        cost = row.get("cost") or {}
        return [
            number(cost.get("epochs"), 1).removesuffix(".0"),
            duration(cost.get("seconds_per_epoch")),
            duration(cost.get("training_seconds")),
            number(cost.get("milliseconds_per_image"), 1),
            number(_scaled(cost.get("peak_memory_bytes"), 1e-9), 2),
            *(["; ".join(cost.get("hardware", [])) or NONE] if len(places) > 1 else []),
        ]

    networks, ours = _networks(rows), PUBLISHED["ours"]
    places = {place for row in networks for place in (row.get("cost") or {}).get("hardware", [])}
    columns = ["model", "epochs", "time per epoch", "training", "ms per image", "peak memory, GB"]
    if len(places) > 1:
        columns.append("hardware")
    return [
        "### Computation",
        "Published counts marked 1000-class hold a classifier for 1000 classes, which none of these networks has.",
        _table(
            ["model", "parameters", "published", "file, MB"], networks, size, lambda row: [_published_parameters(row)]
        ),
        f"Of one run on the hardware named {'in its row' if len(places) > 1 else 'above'}, mean over runs. Image: a "
        "batch of one, the network alone, all on one machine. Peak memory of the training: of the GPU where there is "
        "one, else of the process. Published, of ours: file "
        f"{ours.file_size}, GPU memory {ours.gpu_memory}.",
        _table(columns, networks, effort),
    ]


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def _megabytes(value: float | None) -> str:
    return number(_scaled(value, 1e-6), 1)


def _published_parameters(row: Row) -> str:
    figures = PUBLISHED.get(row["model"])
    if figures is None or figures.parameters is None:
        return NONE
    return figures.parameters + (" (1000-class)" if figures.thousand_classes else "")


def duration(seconds: float | None) -> str:
    """Return a time with its unit: ``8.3 s``, ``12.5 min`` or ``1.2 h``."""
    if seconds is None:
        return NONE
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5997 else f"{seconds / 3600:.1f} h"
