"""What is said of the stored comparison is what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from braintumor_ext.metrics import read_records
from braintumor_ext.reporting import with_interval
from studies.comparison.report_tables import difference_text
from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "studies" / "results" / "comparison"
FINDINGS = RESULTS / "findings.md"
LONGER = REPOSITORY / "studies" / "results" / "random-protocol"


def percent(estimate: dict) -> str:
    value, (lower, upper) = estimate["value"], estimate["ci95"]
    return f"{100 * value:.1f}% ({100 * lower:.1f} to {100 * upper:.1f})"


@pytest.fixture(scope="module")
def protocols() -> dict[str, dict]:
    return json.loads((RESULTS / "comparison.json").read_text(encoding="utf-8"))["protocols"]


@pytest.fixture(scope="module")
def rows(protocols: dict[str, dict]) -> dict[str, dict]:
    return {f"{name} {row['model']}": row for name, protocol in protocols.items() for row in protocol["rows"]}


@pytest.fixture(scope="module")
def findings() -> str:
    return FINDINGS.read_text(encoding="utf-8")


def trained(protocol: dict) -> list[dict]:
    return [row for row in protocol["rows"] if row["kind"] == "network" and row["status"] != "not run"]


def test_the_findings_tell_the_figures_of_ours(rows: dict[str, dict], findings: str) -> None:
    grouped, random = rows["grouped ours"], rows["random ours"]
    masks = grouped["summary"]["segmentation"]
    for told in (
        percent(random["summary"]["classification"]["accuracy"]),
        percent(grouped["summary"]["classification"]["accuracy"]),
        with_interval(grouped["summary"]["classification"]["macro_f1"]),
        with_interval(masks["tumour_slices"]["dice"]),
        with_interval(random["summary"]["segmentation"]["tumour_slices"]["dice"]),
        with_interval(grouped["after_temperature"]["ece"]),
        f"{100 * rows['grouped nearest_neighbour']['summary']['classification']['accuracy']['value']:.1f}%",
        f"{100 * rows['random nearest_neighbour']['summary']['classification']['accuracy']['value']:.1f}%",
    ):
        assert told in findings
    for gate in ("raw", "gated"):  # the share of slices without a predicted pixel
        share = masks["no_tumour_slices"][gate]
        lower, upper = share["ci95"]
        assert percent({"value": 1 - share["value"], "ci95": [1 - upper, 1 - lower]}) in findings


@pytest.mark.parametrize("protocol", ["grouped", "random"])
def test_the_findings_tell_what_each_network_reached_and_how_far_it_is_from_ours(
    protocol: str, protocols: dict[str, dict], findings: str
) -> None:
    for row in trained(protocols[protocol]):
        assert percent(row["summary"]["classification"]["accuracy"]) in findings, row["model"]
        if row["status"] == "partial":
            assert f"{row['title']} in {row['runs']} of {row['of']} folds" in findings
    for found in protocols[protocol]["differences"]:
        if found["test"] == "paired group bootstrap" and found["metric"] in ("accuracy", "dice"):
            assert difference_text(found) in findings, found["b"]


def test_a_network_that_was_not_trained_is_named_as_such(protocols: dict[str, dict], findings: str) -> None:
    (told,) = (line for line in findings.splitlines() if line.startswith("Not run: "))
    for name, protocol in protocols.items():
        for row in protocol["rows"]:
            if row["status"] == "not run":
                assert f"{row['title']} ({name})" in told


@pytest.mark.parametrize("folder", [RESULTS, LONGER])
def test_card_and_readme_tell_what_ours_reached(folder: Path) -> None:
    protocols = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["protocols"]
    card = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (ours,) = (row for row in protocols["grouped" if folder == RESULTS else "random"]["rows"] if row["model"] == "ours")
    told = percent(ours["summary"]["classification"]["accuracy"])
    assert told in card
    assert told.split()[0] in readme
    if folder == RESULTS:
        masks = ours["summary"]["segmentation"]
        assert told in readme
        assert with_interval(masks["tumour_slices"]["dice"]) in card
        assert with_interval(masks["tumour_slices"]["dice"]) in readme
        assert with_interval(ours["after_temperature"]["ece"]) in card
        assert f"{100 * (1 - masks['no_tumour_slices']['raw']['value']):.1f}% of the no-tumour" in card


@pytest.mark.parametrize(("folder", "of"), [(RESULTS, "grouped"), (RESULTS, "random"), (LONGER, "random")])
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
