"""What is said of the stored comparison is what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from braintumor_ext.metrics import read_records
from braintumor_ext.reporting import with_interval
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "studies" / "results" / "comparison"
FINDINGS = RESULTS / "findings.md"
LONGER = REPOSITORY / "studies" / "results" / "random-protocol"
STRONG = REPOSITORY / "studies" / "results" / "strong-recipe"


def percent(estimate: dict) -> str:
    value, (lower, upper) = estimate["value"], estimate["ci95"]
    return f"{100 * value:.1f}% ({100 * lower:.1f} to {100 * upper:.1f})"


@pytest.fixture(scope="module")
def protocols() -> dict[str, dict]:
    return json.loads((RESULTS / "comparison.json").read_text(encoding="utf-8"))["protocols"]


@pytest.fixture(scope="module")
def rows(protocols: dict[str, dict]) -> dict[str, dict]:
    return {f"{name} {row['model']}": row for name, protocol in protocols.items() for row in protocol["rows"]}


def test_the_findings_tell_the_figures_of_ours(rows: dict[str, dict]) -> None:
    findings = FINDINGS.read_text(encoding="utf-8")
    grouped, random = rows["grouped ours"], rows["random ours"]
    masks = grouped["summary"]["segmentation"]
    for told in (
        percent(random["summary"]["classification"]["accuracy"]),
        percent(grouped["summary"]["classification"]["accuracy"]),
        with_interval(grouped["summary"]["classification"]["macro_f1"]),
        with_interval(masks["tumour_slices"]["dice"]),
        with_interval(grouped["after_temperature"]["ece"]),
        f"{100 * rows['grouped nearest_neighbour']['summary']['classification']['accuracy']['value']:.1f}%",
        f"{100 * rows['random nearest_neighbour']['summary']['classification']['accuracy']['value']:.1f}%",
    ):
        assert told in findings
    for gate in ("raw", "gated"):  # the share of slices without a predicted pixel
        share = masks["no_tumour_slices"][gate]
        lower, upper = share["ci95"]
        assert percent({"value": 1 - share["value"], "ci95": [1 - upper, 1 - lower]}) in findings


@pytest.mark.parametrize("model", ["ours", "resnet50", "vgg16", "efficientnet_b0", "unet"])
def test_the_findings_tell_what_each_network_reached_on_the_random_split(model: str, rows: dict[str, dict]) -> None:
    findings = FINDINGS.read_text(encoding="utf-8")
    accuracy = rows[f"random {model}"]["summary"]["classification"]["accuracy"]
    told = f"{100 * accuracy['value']:.1f}%"
    (paragraph,) = (
        part for part in findings.split("\n\n") if part.startswith("On the random split, with one test set")
    )
    assert f"({told}" in paragraph


def test_no_model_of_the_comparison_is_missing(protocols: dict[str, dict]) -> None:
    assert {row["status"] for protocol in protocols.values() for row in protocol["rows"]} == {"done"}


def test_card_and_readme_tell_what_the_longer_training_reached() -> None:
    found = json.loads((LONGER / "comparison.json").read_text(encoding="utf-8"))["protocols"]["random"]["rows"]
    (ours,) = (row["summary"] for row in found if row["model"] == "ours")
    told = percent(ours["classification"]["accuracy"])
    assert told in (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    assert told.split()[0] in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    findings = FINDINGS.read_text(encoding="utf-8")
    assert with_interval(ours["segmentation"]["tumour_slices"]["dice"]) in findings


@pytest.mark.parametrize("other", ["resnet50", "vgg16", "efficientnet_b0", "unet", "no_attention", "no_segmentation"])
def test_the_findings_tell_how_far_ours_is_from_the_others(other: str, protocols: dict[str, dict]) -> None:
    (found,) = (
        entry for entry in protocols["grouped"]["differences"] if (entry["b"], entry["metric"]) == (other, "accuracy")
    )
    lower, upper = (f"{100 * end:.1f}" for end in found["ci95"])
    told = f"({100 * found['difference']:+.1f} points, {lower} to {upper})"
    assert told in FINDINGS.read_text(encoding="utf-8")


@pytest.mark.parametrize("model", ["ours", "resnet50", "vgg16", "efficientnet_b0", "unet"])
def test_the_findings_tell_what_each_network_reached_in_the_folds(model: str, rows: dict[str, dict]) -> None:
    found = rows[f"grouped {model}"]["summary"]
    text = FINDINGS.read_text(encoding="utf-8")
    assert percent(found["classification"]["accuracy"]) in text
    if model in ("ours", "unet"):
        assert with_interval(found["segmentation"]["tumour_slices"]["dice"]) in text


def test_card_and_readme_tell_what_the_strong_recipe_reached() -> None:
    found = json.loads((STRONG / "comparison.json").read_text(encoding="utf-8"))["protocols"]["grouped"]["rows"]
    (ours,) = (row for row in found if row["model"] == "ours")
    masks, told = ours["summary"]["segmentation"], percent(ours["summary"]["classification"]["accuracy"])
    card = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    for text in ((REPOSITORY / "README.md").read_text(encoding="utf-8"), card):
        assert told in text
        assert with_interval(masks["tumour_slices"]["dice"]) in text
    assert with_interval(ours["after_temperature"]["ece"]) in card
    assert f"{100 * (1 - masks['no_tumour_slices']['raw']['value']):.1f}% of the no-tumour" in card


@pytest.mark.parametrize(("folder", "of"), [(RESULTS, "random"), (LONGER, "random"), (STRONG, "grouped")])
def test_every_trained_row_is_what_the_stored_predictions_give(folder: Path, of: str) -> None:
    result = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    names, checked = result["class_names"], set()
    for protocol, found in result["protocols"].items():
        hashes = {split["name"]: split["hash"] for split in found["splits"]}
        for row in found["rows"]:
            if row["kind"] == "trivial baseline" or row["status"] == "not run":
                continue
            runs = sorted(folder.glob(f"runs/{row['model']}-{protocol}-*"))
            assert len(runs) == row["runs"], row["model"]
            records = []
            for run in runs:
                done = json.loads((run / "run.json").read_text(encoding="utf-8"))
                assert done["split_sha256"] == hashes[done["split"]]
                records += read_records(run / "test" / "per_image.csv", names)
            told = row["summary"]
            assert len({record.image for record in records}) == len(records) == told["slices"]["total"]
            true, predicted = [r.true_class for r in records], [r.predicted_class for r in records]
            classes = told["classification"]
            assert classes["accuracy"]["value"] == pytest.approx(np.equal(true, predicted).mean())
            assert told["confusion_matrix"] == sklearn.metrics.confusion_matrix(true, predicted).tolist()
            dice = [r.dice for r in records if r.mask_predicted and r.mask_known and r.true_area_px]
            masks = told["segmentation"]["tumour_slices"]
            assert masks["n"] == len(dice)
            if dice:
                assert masks["dice"]["value"] == pytest.approx(np.mean(dice), abs=1e-6)
            checked.add((protocol, row["model"]))
    assert (of, "ours") in checked
