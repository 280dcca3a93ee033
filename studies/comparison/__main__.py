"""Train and evaluate models on the same splits, grouped by patient and at random, and write the table."""

from __future__ import annotations

import argparse
import ast
import json
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from braintumor_ext.classes import CLASSES, Classes
from braintumor_ext.data.datalist import DATALIST_JSON
from braintumor_ext.errors import InputError
from studies.comparison import (
    PROTOCOLS,
    Comparison,
    ComparisonResult,
    ExtraSlices,
    ModelConfig,
    all_items,
    choose_models,
    copy_evidence,
    has_runs,
    known_models,
    milliseconds_per_image,
    subset,
    write_comparison,
)
from studies.group_sources import read_group_sources

ROOT = Path(__file__).resolve().parents[2]
QUICK: dict[str, Any] = {
    "epochs": 1,
    "image_size": 32,
    "folds": 2,
    "count": 160,
    "n_draws": 200,
    "models": ["ours", "resnet50"],
}
"""What ``--quick`` sets where nothing else is given: it shows that all works, and nothing about the models."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the command line, without the program's name; ``sys.argv`` if None.

    Returns:
        The exit code: 0; 1 where a run failed (the table says which are missing); 2 where nothing could be compared.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("studies.comparison").setLevel(logging.INFO)
    try:
        comparison = _comparison(options)
        splits = comparison.splits()
        if options.evidence is not None and options.evidence.resolve() == comparison.output_dir.resolve():
            raise InputError(options.evidence, "is --output itself", "Give --evidence another folder")
        if has_runs(comparison.output_dir) and not (options.resume or options.table_only):
            raise InputError(
                comparison.output_dir, "holds runs of a comparison", "Give --resume to go on, or another --output"
            )
        print(f"{comparison.output_dir}: {len(comparison.plans(splits))} runs", flush=True)
        n_draws = QUICK["n_draws"] if options.quick else 2000
        sources = None if options.groups is None else read_group_sources(options.groups)
        result = ComparisonResult(
            _with_rows_of_all(comparison, options.recipe),
            splits,
            {"quick": options.quick, **({} if options.recipe is None else {"recipe": options.recipe})},
            n_draws,
            sources,
            () if options.table_only else [model.name for model in comparison.models],
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def write_table() -> None:
        write_comparison(result.summarise(), comparison.output_dir)
        if options.evidence is not None:
            copy_evidence(comparison.output_dir, options.evidence, result.names)

    failures = []
    try:
        if not options.table_only:
            failures = comparison.run(splits, after_each=write_table)
        result.milliseconds = _times(comparison, result.trained_models())
    finally:
        write_table()
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    print((comparison.output_dir / "comparison.md").read_text(encoding="utf-8"))
    return 1 if failures else 0


def _comparison(options: argparse.Namespace) -> Comparison:
    defaults: dict[str, Any] = QUICK if options.quick else {"folds": 5, "models": None}
    named = options.models or defaults["models"]
    models = choose_models(ROOT, named, options.recipe)
    content = json.loads(_datalist(options.dataset_dir).read_text(encoding="utf-8-sig"))
    classes = Classes.of({**CLASSES.stored(), **content})
    items: Sequence[Any] = all_items(options.dataset_dir, classes)
    settings = {
        name: value
        for name in ("epochs", "image_size", "pretrained")
        if (value := getattr(options, name) if getattr(options, name) is not None else defaults.get(name)) is not None
    }
    if options.quick:
        items = subset(items, defaults["count"])
        settings.setdefault("pretrained", False)
    if classes != CLASSES:
        settings |= classes.stored()
    extra = None
    if options.extra is not None:
        folders = (options.extra, options.extra_masks, options.extra_groups)
        extra = ExtraSlices(*folders, items, options.dataset_dir, options.output / "extra", classes)
    return Comparison(
        items,
        options.dataset_dir,
        options.output,
        ROOT,
        models,
        classes,
        PROTOCOLS if options.protocol == "both" else (options.protocol,),
        tuple(options.seeds),
        options.folds or defaults["folds"],
        settings | dict(options.set),
        dict(options.epochs_of),
        {"num_workers": options.num_workers},
        options.section,
        extra,
    )


def _with_rows_of_all(comparison: Comparison, recipe: str | None) -> Comparison:
    """Return the comparison as its table shows it: the models that were not asked for have rows too."""
    asked = {model.name for model in comparison.models}
    others = [model for model in choose_models(ROOT, None, recipe) if model.name not in asked]
    return replace(comparison, models=[*comparison.models, *others])


def _datalist(dataset_dir: Path) -> Path:
    path = dataset_dir / DATALIST_JSON
    if not path.is_file():
        remedy = "Prepare the data first: python -m scripts.prepare_data --images DIR --output DATASET_DIR"
        raise InputError(dataset_dir, "holds no datalist.json", remedy)
    return path


def _times(comparison: Comparison, models: Sequence[ModelConfig]) -> dict[str, float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = int(comparison.settings.get("image_size", 224))
    return milliseconds_per_image(models, ROOT, comparison.settings, size, device=device)


def _setting(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _epochs_of(text: str) -> tuple[str, int]:
    name, found, value = text.partition("=")
    if not (found and value.isdecimal() and int(value) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=N")
    if name not in known_models(ROOT):
        raise argparse.ArgumentTypeError(f"there is no model {name!r}; choose among {', '.join(known_models(ROOT))}")
    return name, int(value)


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies.comparison",
        description=__doc__,
        epilog=f"models: {', '.join(known_models(ROOT))}",
    )
    parser.add_argument("--dataset_dir", type=Path, required=True, metavar="D", help="a prepared data set")
    parser.add_argument("--output", type=Path, default=Path("comparison"), metavar="DIR", help="(default: %(default)s)")
    parser.add_argument("--protocol", choices=[*PROTOCOLS, "both"], default="both", help="(default: %(default)s)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="(default: ours and the baselines)")
    parser.add_argument(
        "--recipe", metavar="NAME", help="of configs/recipes, for all models (default: train.json's own)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="(default: 0)")
    parser.add_argument("--folds", type=int, metavar="K", help="of the grouped cross-validation (default: 5)")
    parser.add_argument("--epochs", type=int, metavar="N", help="(default: the config's, 100)")
    parser.add_argument(
        "--epochs_of", nargs="+", type=_epochs_of, default=[], metavar="MODEL=N", help="epochs of some models' own"
    )
    parser.add_argument("--image_size", type=int, metavar="S", help="in pixels (default: the config's, 224)")
    parser.add_argument(
        "--pretrained", type=_flag, metavar="true|false", help="ImageNet weights (default: the config's)"
    )
    parser.add_argument(
        "--set", nargs="+", type=_setting, default=[], metavar="ID=VALUE", help="further ids of the config, for all"
    )
    parser.add_argument("--num_workers", type=int, default=2, metavar="N", help="of the data loader (default: 2)")
    parser.add_argument(
        "--section",
        choices=["test", "validation"],
        default="test",
        help="validation: to choose between recipes, no test set is opened (default: %(default)s)",
    )
    parser.add_argument(
        "--extra", type=Path, metavar="DIR", help="slices that recipes may learn from, as prepare_data takes them"
    )
    parser.add_argument("--extra-masks", type=Path, metavar="DIR", help="their masks")
    parser.add_argument("--extra-groups", type=Path, metavar="FILE.csv", help="their groups")
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE.csv",
        help="columns image and group_source: the table then counts the images whose patient is known",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="DIR",
        help="copy the tables and each run's predictions, without weights, to DIR: --output DIR goes on from there",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the runs in --output")
    parser.add_argument("--table_only", action="store_true", help="train nothing, write the table of what there is")
    parser.add_argument(
        "--quick", action="store_true", help="160 images, 32 pixels, 1 epoch, 2 folds: minutes, to see that all works"
    )
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends the training that it waits for
    sys.exit(main())
