"""The report of a comparison says what the result says: nothing more, and no row left out."""

from __future__ import annotations

import csv
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from braintumor_ext.classes import CLASSES
from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.jsonable import jsonable
from braintumor_ext.metrics import SliceRecord
from studies.comparison.model_runs import ModelRuns, Run
from studies.comparison.report import FILES, write_comparison
from studies.comparison.report_tables import METRIC_NAMES, difference_text, duration, p_text, render_comparison, without
from studies.comparison.summary import summarise_protocol
from tests.report_files import read_strict_json, read_tables

COST = {
    "parameters": 29651665,
    "file_bytes": 118_700_000,
    "epochs": 20.0,
    "seconds_per_epoch": 84.25,
    "training_seconds": 5400.0,
    "peak_memory_bytes": 2_340_000_000,
    "milliseconds_per_image": 12.34,
}
NOT_TRAINED = {"summary": None, "after_temperature": None, "spread": None, "group_weighted": None, "cost": None}


def records(seed: int, skill: float, start: int = 0, n: int = 16, masks: bool = True) -> list[SliceRecord]:
    """Slices of all classes in groups of two, right with a probability of ``skill``."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(start, start + n):
        true = index % 4
        named = true if rng.random() < skill else int(rng.integers(4))
        probabilities = np.full(4, 0.1)
        probabilities[named] += 0.6
        area = 0 if true == 3 else 60
        found = 50 * int(index % 8 == 7 if true == 3 else rng.random() < 0.9)
        dice = float("nan") if not area else (0.4 + 0.5 * rng.random()) * (found > 0)
        scores = {
            "pred_area_px": found,
            "dice": dice,
            "iou": dice / (2 - dice),
            "hd95": 3.0 if area and found else np.nan,
        }
        made.append(
            SliceRecord(
                f"{index:03d}.png",
                f"g{index // 8}-{true}",
                true,
                tuple(probabilities / probabilities.sum()),
                mask_known=True,
                true_area_px=area,
                mask_predicted=masks,
                **(scores if masks else {}),
            )
        )
    return made


def network(model: str, title: str, seed: int, skill: float, runs: int = 3, masks: bool = True) -> ModelRuns:
    made = [
        Run(f"fold{i}", 0, i, records(seed + 10 * i, skill, 16 * i, masks=masks), records(seed + 99, skill, 200), COST)
        for i in range(runs)
    ]
    return ModelRuns(model, title, "network", 3, made)


def baseline(model: str, seed: int, skill: float) -> ModelRuns:
    made = [Run(f"fold{i}", 0, i, records(seed + 10 * i, skill, 16 * i)) for i in range(3)]
    return ModelRuns(model, f"trivial baseline: {model.replace('_', ' ')}", "trivial baseline", 3, made)


def protocol(name: str, skill: float) -> dict[str, Any]:
    models = [
        network("ours", "ours: ResNet50 + CBAM + FPN", 1, skill),
        network("resnet50", "ResNet50", 2, skill - 0.1, masks=False),
        network("vgg16", "VGG16", 3, skill - 0.2, runs=1, masks=False),
        network("unet", "U-Net", 3, skill, runs=0),
        baseline("nearest_neighbour", 4, skill - 0.3),
        baseline("file_properties", 5, 0.4),
    ]
    grouped = name == "grouped"
    splits = [
        {
            "name": f"{name}-seed0" + (f"-fold{i}" if grouped else ""),
            "hash": f"{i}" * 64,
            "seed": 0,
            "fold": i if grouped else None,
            "counts": {"training": 2009, "validation": 431, "test": 430},
        }
        for i in range(3 if grouped else 1)
    ]
    told = {"grouping": "patient-grouped where known (2,317 images), near-duplicate-grouped else"} if grouped else {}
    found = summarise_protocol(name, models, CLASSES, n_draws=60)
    return jsonable({**found, **told, "splits": splits})


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return {
        "title": "Comparison on phantoms",
        "context": {
            "date": "2026-11-25",
            "hardware": "CPU (x86_64)",
            "torch": "2.12.1",
            "dataset_dir": "D",
            "epochs": 20,
            "image_size": 96,
            "batch_size": 32,
            "section": "test",
            "seeds": [0],
            "folds": 3,
        },
        **CLASSES.stored(),
        "protocols": {"grouped": protocol("grouped", 0.8), "random": protocol("random", 0.9)},
    }


@pytest.fixture(scope="module")
def folder(result: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("comparison") / "new"
    write_comparison(result, path)
    return path


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "comparison.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lines(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (folder / "comparison.csv").open(newline="", encoding="utf-8") as file:
        return {(line["protocol"], line["model"]): line for line in csv.DictReader(file)}


def cells(text: str, protocol: str, heading: str, first: str, table: int = 0) -> list[str]:
    """The cells of a row, found by its first cell, of a table below a heading of a protocol."""
    section = text.split(f"## {protocol.capitalize()} protocol\n")[1].split("\n## ")[0].split(f"### {heading}\n")[1]
    return next(row for row in read_tables(section.split("\n### ")[0])[table] if row[0] == first)


def percent(estimate: dict[str, Any]) -> str:
    value, (lower, upper) = estimate["value"], estimate["ci95"]
    return f"{100 * value:.1f} ({100 * lower:.1f} to {100 * upper:.1f})"


def share(estimate: dict[str, Any]) -> str:
    value, (lower, upper) = estimate["value"], estimate["ci95"]
    return f"{value:.3f} ({lower:.3f} to {upper:.3f})"


def test_four_files_are_written_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES)


def test_json_is_strict_and_is_the_result(folder: Path, result: dict[str, Any]) -> None:
    assert read_strict_json(folder / "comparison.json") == result


def test_picture_decodes_and_shows_bars(folder: Path) -> None:
    picture = Image.open(folder / "comparison.png").convert("RGB")
    assert np.asarray(picture).std() > 20
    colours = [colour for _, colour in picture.getcolors(picture.width * picture.height)]
    assert set(map(ImageColor.getrgb, (OKABE_ITO[1], OKABE_ITO[5], OKABE_ITO[0]))) <= set(colours)


def test_head_tells_what_the_figures_belong_to(text: str) -> None:
    lines = text.split("\n## ")[0].splitlines()
    assert lines[0] == "# Comparison on phantoms"
    assert {"- date: 2026-11-25", "- hardware: CPU (x86_64)", "- image size: 96", "- seeds: 0"} <= set(lines)


def test_splits_stand_with_their_short_hash_and_the_grouping_with_its_words(text: str) -> None:
    grouped, random = text.split("## Random protocol")
    splits = [[f"grouped-seed0-fold{i}", f"`{str(i) * 12}`", "2,009", "431", "430"] for i in range(3)]
    assert read_tables(grouped)[0][1:] == splits
    assert "(2,317 images)" in grouped
    assert "(2,317 images)" not in random


def test_published_test_figures_do_not_stand_beside_those_of_validation(
    text: str, result: dict[str, Any], tmp_path: Path
) -> None:
    assert "92.68" in text.split("## Random protocol")[1]
    write_comparison(result | {"context": result["context"] | {"section": "validation"}}, tmp_path)
    validation = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert "92.68" not in validation
    assert not any("published" in row for row in read_tables(validation.split("### Computation")[0]))
    with (tmp_path / "comparison.csv").open(newline="", encoding="utf-8") as file:
        assert {line["published_accuracy"] for line in csv.DictReader(file)} == {""}


@pytest.mark.parametrize("name", ["grouped", "random"])
@pytest.mark.parametrize("place", [0, 1, 4, 5])
def test_scores_are_the_summarys_in_per_cent(text: str, result: dict[str, Any], name: str, place: int) -> None:
    row = result["protocols"][name]["rows"][place]
    values = row["summary"]["classification"]
    told = cells(text, name, "Class", row["title"])[1:]
    if name == "random":
        assert told.pop(1) == {"ours": "92.68", "resnet50": "89.45"}.get(row["model"], "–")
    expected = [percent(values[k]) for k in ("accuracy", "macro_precision", "macro_recall", "macro_f1")]
    assert told == [*expected, "48"]


def test_published_figures_stand_in_the_random_protocol_alone(text: str) -> None:
    grouped, random = text.split("## Random protocol")
    for figure in ("92.68", "89.45", "87.23", "85.67"):
        assert figure not in grouped
        assert figure in random
    assert all(figure in random for figure in ("92.76", "92.32", "92.35"))  # precision, recall, F1


def test_a_row_that_was_not_trained_is_printed_not_run_in_the_first_table_alone(text: str) -> None:
    for part in text.split("## Random protocol"):
        (line,) = (line for line in part.splitlines() if line.startswith("| U-Net |"))
        assert "| not run |" in line
        assert part.index("### Class") < part.index(line) < part.index("### Mask")


def test_a_partial_row_says_so_wherever_it_stands(text: str, result: dict[str, Any]) -> None:
    assert "| VGG16 |" not in text
    assert cells(text, "random", "Class", "VGG16, partial (1 of 3)")[2] == "87.23"
    mean = result["protocols"]["random"]["rows"][2]["spread"]["accuracy"]["mean"]
    told = cells(text, "random", "Run by run", "VGG16, partial (1 of 3)")
    assert told[1:3] == ["1", f"{100 * mean:.1f}"]  # no deviation of one


def test_masks_are_the_summarys_and_the_clean_share_is_what_has_no_pixel(text: str, result: dict[str, Any]) -> None:
    row = result["protocols"]["grouped"]["rows"][0]
    found = row["summary"]["segmentation"]
    empty = found["no_tumour_slices"]
    clean = 100 * (1 - empty["raw"]["count"] / empty["n"])
    told = cells(text, "grouped", "Mask", row["title"])
    assert told[1:5] == ["36", share(found["tumour_slices"]["dice"]), str(found["tumour_slices"]["missed"]), "12"]
    assert told[5].startswith(f"{clean:.1f} (")
    assert 0 < empty["raw"]["count"] < empty["n"]
    assert cells(text, "grouped", "Mask", "ResNet50")[1] == "no mask"


def test_the_share_without_has_its_intervals_ends_in_order() -> None:
    assert without({"value": 0.25, "ci95": [0.125, 0.5]}) == {"value": 0.75, "ci95": [0.5, 0.875]}
    assert without({"value": 0.25, "ci95": None}) == {"value": 0.75, "ci95": None}
    assert without({"value": None, "ci95": None})["value"] is None


def test_probabilities_stand_as_trained_and_after_the_temperature(text: str, result: dict[str, Any]) -> None:
    row = result["protocols"]["random"]["rows"][1]
    values = row["summary"]["calibration"]
    auc = row["summary"]["classification"]["macro_roc_auc"]
    expected = [share(auc), *(share(values[name]) for name in ("ece", "nll", "brier"))]
    assert cells(text, "random", "Probabilities", "ResNet50")[1:] == expected
    after = cells(text, "random", "Probabilities", "ResNet50", table=1)
    scaled = row["after_temperature"]
    temperatures = ", ".join(f"{value:.2f}" for value in scaled["temperatures"])
    assert after[1:] == [temperatures, *(share(scaled[name]) for name in ("ece", "nll", "brier"))]


def test_baselines_have_neither_masks_nor_probabilities(
    text: str, lines: dict[tuple[str, str], dict[str, str]]
) -> None:
    for heading in ("Mask", "Probabilities", "Computation"):
        with pytest.raises(StopIteration):
            cells(text, "grouped", heading, "trivial baseline: nearest neighbour")
    assert cells(text, "grouped", "Per class", "trivial baseline: nearest neighbour")[-2:] == ["no mask", "–"]
    line = lines["grouped", "nearest_neighbour"]
    assert line["accuracy"]
    blank = ("macro_roc_auc", "ece", "nll_low", "dice", "glioma_roc_auc", "no_tumour_without_pixel_raw", "parameters")
    assert {line[column] for column in blank} == {""}


def test_per_class_tables_are_the_summarys(text: str, result: dict[str, Any]) -> None:
    row = result["protocols"]["grouped"]["rows"][0]
    for place, name in enumerate(CLASSES):
        values = row["summary"]["per_class"][name]
        masks = row["summary"]["segmentation"]["tumour_slices"]["per_class"]
        expected = [str(values["support"]), *(percent(values[rate]) for rate in ("recall", "precision", "f1"))]
        expected += [share(masks[name]["dice"])] if name in masks else []
        assert cells(text, "grouped", "Per class", row["title"], place)[1:] == [*expected, share(values["roc_auc"])]


def test_spread_and_equal_groups(text: str, result: dict[str, Any]) -> None:
    row = result["protocols"]["grouped"]["rows"][0]
    accuracy, f1, dice = ((row["spread"][name]["mean"], row["spread"][name]["sd"]) for name in METRIC_NAMES)
    told = cells(text, "grouped", "Run by run", row["title"])
    per_cent = [f"{100 * mean:.1f} ± {100 * sd:.1f}" for mean, sd in (accuracy, f1)]
    assert told[1:] == ["3", *per_cent, f"{dice[0]:.3f} ± {dice[1]:.3f}"]
    weighted = row["group_weighted"]
    told = cells(text, "grouped", "Each group weighs the same", row["title"])
    assert told[1:] == [percent(weighted["accuracy"]), share(weighted["dice"])]


def test_differences_are_told_with_their_test(text: str, result: dict[str, Any]) -> None:
    found = result["protocols"]["grouped"]["differences"][0]
    told = cells(text, "grouped", "Differences", "ours minus ResNet50")
    lower, upper = (100 * end for end in found["ci95"])
    assert told[1:4] == ["accuracy", "48", f"{100 * found['difference']:+.1f} points ({lower:.1f} to {upper:.1f})"]
    assert told[4:] == [p_text(found["p"]), p_text(found["p_holm"]), "paired group bootstrap"]
    grouped, random = text.split("## Random protocol")
    assert "McNemar" not in grouped
    assert read_tables(random.split("### Differences")[1])[0][-1][-1] == "McNemar, exact"


def test_computation_stands_beside_the_published(text: str) -> None:
    title = "ours: ResNet50 + CBAM + FPN"
    assert cells(text, "grouped", "Computation", title)[1:] == ["29,651,665", "25.5M (1000-class)", "118.7"]
    effort = cells(text, "grouped", "Computation", title, table=1)
    assert effort[1:] == ["20", "84.2 s", "90.0 min", "12.3", "2.34"]


def test_where_each_row_was_trained_is_told_if_it_was_not_one_machine(result: dict[str, Any]) -> None:
    one, two = ({**result, "protocols": deepcopy(result["protocols"])} for _ in range(2))
    for changed, places in ((one, ["CPU (x86_64)"]), (two, ["CPU (x86_64)", "GPU"])):
        for row, place in zip(changed["protocols"]["grouped"]["rows"], places * 2, strict=False):
            if row["cost"]:
                row["cost"]["hardware"] = [place]
    title, text = "ours: ResNet50 + CBAM + FPN", render_comparison(one)
    assert cells(text, "grouped", "Computation", title, table=1)[-1] == "2.34"
    text = render_comparison(two)
    assert cells(text, "grouped", "Computation", title, table=1)[-2:] == ["2.34", "CPU (x86_64)"]
    assert cells(text, "grouped", "Computation", two["protocols"]["grouped"]["rows"][1]["title"], table=1)[-1] == "GPU"


def test_every_table_is_rectangular(text: str) -> None:
    assert len(read_tables(text)) == 2 * 13 + 1 + 1


def test_csv_has_a_line_for_each_protocol_and_row_with_all_digits(
    lines: dict[tuple[str, str], dict[str, str]], result: dict[str, Any]
) -> None:
    expected = [(name, row["model"]) for name, p in result["protocols"].items() for row in p["rows"]]
    assert list(lines) == expected
    row = result["protocols"]["grouped"]["rows"][0]
    summary, line = row["summary"], lines["grouped", "ours"]

    def number(column: str) -> float:
        return float(line[column])

    for column, estimate in {
        "macro_f1": summary["classification"]["macro_f1"],
        "meningioma_recall": summary["per_class"]["meningioma"]["recall"],
        "dice": summary["segmentation"]["tumour_slices"]["dice"],
        "pituitary_dice": summary["segmentation"]["tumour_slices"]["per_class"]["pituitary"]["dice"],
        "brier": summary["calibration"]["brier"],
        "ece_after_temperature": row["after_temperature"]["ece"],
        "dice_each_group_the_same": row["group_weighted"]["dice"],
    }.items():
        found = (number(column), [number(f"{column}_low"), number(f"{column}_high")])
        assert found == (estimate["value"], estimate["ci95"]), column
    gated = summary["segmentation"]["no_tumour_slices"]["gated"]
    assert number("no_tumour_without_pixel_gated") == pytest.approx(1 - gated["value"])
    assert number("no_tumour_without_pixel_gated_low") == pytest.approx(1 - gated["ci95"][1])
    assert number("accuracy_sd_over_runs") == row["spread"]["accuracy"]["sd"]
    assert number("parameters") == 29651665
    assert lines["random", "resnet50"]["published_accuracy"] == "0.8945"
    assert lines["random", "resnet50"]["dice"] == ""
    assert line["published_accuracy"] == ""


def test_csv_line_of_a_row_not_run_is_blank_where_it_measures(lines: dict[tuple[str, str], dict[str, str]]) -> None:
    line = lines["grouped", "unet"]
    told = {column for column, value in line.items() if value}
    assert told == {"protocol", "model", "title", "kind", "status", "runs", "of", "split_hashes"}
    assert line["status"] == "not run"


@pytest.mark.filterwarnings("error")
def test_a_comparison_of_which_nothing_was_trained_is_replaced_by_a_later_one(
    result: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    nothing = deepcopy(result)
    nothing["empty_class"] = None
    for protocol in nothing["protocols"].values():
        protocol["differences"] = []
        for row in protocol["rows"]:
            row.update(status="not run", runs=0, **NOT_TRAINED)
    (tmp_path / "notes.txt").write_text("mine")
    write_comparison(nothing, tmp_path)
    assert "### Differences" not in (tmp_path / "comparison.md").read_text(encoding="utf-8")
    write_comparison(result, tmp_path)
    for name in FILES:  # the same result, the same bytes
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "notes.txt"}


def test_a_cell_of_the_table_is_no_formula_and_a_negative_number_stays_one(
    result: dict[str, Any], tmp_path: Path
) -> None:
    row = deepcopy(result["protocols"]["random"]["rows"][4]) | {"title": "=1+1"}
    row["summary"]["classification"]["accuracy"]["value"] = -0.5
    one = {**result["protocols"]["random"], "rows": [row], "differences": []}
    write_comparison({**result, "protocols": {"random": one}}, tmp_path)
    with (tmp_path / "comparison.csv").open(newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert (line["title"], line["accuracy"]) == ("'=1+1", "-0.5")


def test_numbers_that_are_not_finite_become_null_and_blank(result: dict[str, Any], tmp_path: Path) -> None:
    row = deepcopy(result["protocols"]["random"]["rows"][4])
    row["summary"]["classification"]["accuracy"]["value"] = float("nan")
    one = {**result["protocols"]["random"], "rows": [row], "differences": []}
    write_comparison({**result, "protocols": {"random": one}}, tmp_path)
    read = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert read["protocols"]["random"]["rows"][0]["summary"]["classification"]["accuracy"]["value"] is None
    for name in ("comparison.csv", "comparison.md"):
        assert not re.search(r"\bnan\b", (tmp_path / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("metric", "value", "ends", "expected"),
    [
        ("accuracy", 0.0123, [0.0034, 0.0211], "+1.2 points (0.3 to 2.1)"),
        ("macro_f1", -0.0123, None, "-1.2 points"),
        ("accuracy", -0.0001, [-0.0002, 0.0001], "+0.0 points (0.0 to 0.0)"),
        ("dice", 0.0123, [-0.0034, 0.0211], "+0.012 (-0.003 to 0.021)"),
        ("dice", None, None, "–"),
    ],
)
def test_a_difference_as_text(metric: str, value: float | None, ends: list[float] | None, expected: str) -> None:
    assert difference_text({"metric": metric, "difference": value, "ci95": ends}) == expected


def test_p_values_and_times_as_text() -> None:
    assert [p_text(p) for p in (None, 0.0004, 0.001, 0.25)] == ["–", "< 0.001", "0.001", "0.250"]
    times = ["–", "8.3 s", "99.9 s", "1.7 min", "99.9 min", "1.7 h"]
    assert [duration(s) for s in (None, 8.26, 99.9, 100, 5996, 5998)] == times
