from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from braintumor_ext.classes import CLASSES
from braintumor_ext.saliency_metrics.map_report import write_map_evaluation
from braintumor_ext.saliency_metrics.map_summary import (
    ExplainedSlice,
    SanityStage,
    ScoredMap,
    Threshold,
    summarise_maps,
)
from braintumor_ext.saliency_metrics.randomisation import Similarity
from tests.bundle.workflows import read_table
from tests.report_files import read_strict_json, read_tables

FILES = {"explanations.json", "explanations.md", "per_slice.csv", "deletion_insertion.png", "sanity.png"}
MAPS = ("gradcam", "occlusion", "random", "centre")


def scored(value: float, **changes: Any) -> ScoredMap:
    """A map whose scores are all of one value, as are its curves; the deletion's are the opposite."""
    low = 1 - value
    base = ScoredMap(value, value, value, value, low, value, (low, low, low), (value, value, value))
    return replace(base, **changes)


def slices(gradcam: float = 0.9, occlusion: float = 0.2) -> list[ExplainedSlice]:
    """Eight slices of four groups; the baselines score 0.1 to 0.4, each method the same value everywhere."""
    return [
        ExplainedSlice(
            f"{'pituitary' if i % 2 else 'glioma'}/{i}.png",
            f"g{i // 2}",
            2 * (i % 2),
            0 if i == 7 else 2 * (i % 2),
            0.8,
            0.05,
            {
                "gradcam": scored(gradcam),
                "occlusion": scored(occlusion),
                "random": scored(0.1 + 0.1 * (i // 2)),
                "centre": scored(0.25),
            },
        )
        for i in range(8)
    ]


def sanity(gradcam: tuple[float, float] = (0.1, 0.2), occlusion: tuple[float, float] = (0.1, 0.2)) -> list[SanityStage]:
    """Two stages, four slices: (Spearman, SSIM) after the last; after the first stage maps are still the same."""

    def alike(spearman: float, ssim: float) -> Similarity:
        return Similarity(np.full(4, spearman), np.full(4, ssim))

    groups = ["g0", "g1", "g2", "g3"]
    return [
        SanityStage("classifier", groups, {"gradcam": alike(1, 1), "occlusion": alike(1, 1)}),
        SanityStage("conv1", groups, {"gradcam": alike(*gradcam), "occlusion": alike(*occlusion)}),
    ]


THRESHOLDS = {name: Threshold(0.35, 0.2) for name in MAPS}


def summary(found: list[ExplainedSlice], stages: list[SanityStage]) -> dict[str, Any]:
    return summarise_maps(found, stages, THRESHOLDS, CLASSES, n_draws=200)


def write(folder: Path, found: list[ExplainedSlice] | None = None, stages: list[SanityStage] | None = None) -> Any:
    return write_map_evaluation(
        found or slices(),
        sanity() if stages is None else stages,
        THRESHOLDS,
        {"tolerance_px": 15, "layer": "encoder.attention4"},
        folder,
        CLASSES,
        title="Maps",
        context={"split": "test", "checkpoint": "model.pt"},
        n_draws=200,
    )


# --- numbers


def test_means_are_those_of_the_part_and_groups_are_resampled_as_a_whole() -> None:
    result = summary(slices(), sanity())
    random = result["scores"]["all"]["maps"]["random"]["pointing"]
    assert random["value"] == pytest.approx(0.25)  # 0.1, 0.2, 0.3, 0.4 by group
    draws = np.random.default_rng(0).multinomial(4, [0.25] * 4, size=200) @ np.array([0.1, 0.2, 0.3, 0.4]) / 4
    assert random["ci95"] == pytest.approx(np.percentile(draws, [2.5, 97.5]))
    assert result["scores"]["wrong"]["maps"]["random"]["pointing"]["value"] == pytest.approx(0.4)
    assert result["scores"]["right"]["maps"]["random"]["pointing"]["value"] == pytest.approx((0.6 * 2 + 0.4) / 7)
    assert (result["slices"]["right"], result["slices"]["wrong"], result["slices"]["pituitary"]) == (7, 1, 4)
    # One group has no interval: all draws would agree.
    assert result["scores"]["wrong"]["maps"]["gradcam"]["pointing"] == {"value": 0.9, "ci95": None, "n": 1}


def test_differences_to_the_baselines_are_paired() -> None:
    # Grad-CAM is always 0.2 above noise that varies between groups: the difference does not vary at all.
    found = slices()
    found = [replace(one, maps={**one.maps, "gradcam": scored(one.maps["random"].pointing + 0.2)}) for one in found]
    difference = summary(found, sanity())["against_baselines"]["gradcam"]["random"]["pointing"]
    assert difference["value"] == pytest.approx(0.2)
    assert difference["ci95"] == pytest.approx([0.2, 0.2])


# --- the verdict


def test_only_a_method_that_beats_both_baselines_and_knows_the_weights_is_trusted() -> None:
    result = summary(slices(), sanity())
    assert result["verdicts"]["gradcam"]["trustworthy"]
    assert not result["verdicts"]["occlusion"]["trustworthy"]
    assert result["reading"][0] == "Trust Grad-CAM."
    assert "occlusion: not trustworthy. It does not clearly beat the smooth noise" in result["reading"][2]
    assert "nor the centre of the head on pointing and on energy" in result["reading"][2]


@pytest.mark.parametrize(
    ("after", "trusted"),
    [((0.5, 0.5), True), ((0.51, 0.1), False), ((0.1, 0.51), False), ((float("nan"), 0.3), True), ((-0.9, 0.1), True)],
)
def test_either_similarity_above_the_limit_after_the_last_stage_is_too_much(
    after: tuple[float, float], trusted: bool
) -> None:
    result = summary(slices(), sanity(gradcam=after))
    assert result["verdicts"]["gradcam"]["trustworthy"] is trusted
    assert ("Trust none" in result["reading"][0]) is not trusted


def test_one_lost_baseline_is_enough() -> None:
    found = [
        replace(one, maps={**one.maps, "gradcam": replace(one.maps["gradcam"], energy_share=0.25)}) for one in slices()
    ]
    verdict = summary(found, sanity())["verdicts"]["gradcam"]
    assert not verdict["trustworthy"]
    assert {(lost["baseline"], lost["score"]) for lost in verdict["not_beaten"]} == {
        ("random", "energy_share"),
        ("centre", "energy_share"),
    }


def test_without_sanity_checks_or_with_one_group_nothing_is_trusted() -> None:
    unchecked = summary(slices(), [])
    assert unchecked["verdicts"]["gradcam"]["sane"] is None
    one_group = summary([replace(one, group="g") for one in slices()], sanity())
    for result in (unchecked, one_group):
        assert not result["verdicts"]["gradcam"]["trustworthy"]
        assert result["reading"][0] == "Trust none of these methods on this model and these slices."


def test_of_several_trusted_methods_the_one_with_most_energy_in_the_mask_is_named() -> None:
    assert summary(slices(0.6, 0.7), sanity())["reading"][0] == (
        "Trust Grad-CAM and occlusion, of these occlusion most (highest share of energy in the mask)."
    )


def test_no_slice_is_refused() -> None:
    with pytest.raises(ValueError, match="no slice was explained"):
        summary([], [])


# --- files


@pytest.mark.filterwarnings("error")
def test_all_files_are_written_whatever_is_undefined(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    one = [replace(slices()[7], group=None)]
    returned = write(tmp_path, one, sanity(gradcam=(float("nan"), 0.1)))
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "notes.txt"}
    assert read_strict_json(tmp_path / "explanations.json") == returned
    report = (tmp_path / "explanations.md").read_text(encoding="utf-8")
    assert "nan" not in report.lower()
    assert "– " in report
    for name in FILES:
        if name.endswith(".png"):
            assert np.asarray(Image.open(tmp_path / name)).std() > 0
    # The same again without sanity checks: the earlier run's picture would be a lie.
    write(tmp_path, one, [])
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "notes.txt"} - {"sanity.png"}
    assert "Left out" in (tmp_path / "explanations.md").read_text(encoding="utf-8")


def test_the_report_tells_what_it_belongs_to_its_baselines_and_its_reading(tmp_path: Path) -> None:
    found = slices()
    found[0] = replace(found[0], maps={**found[0].maps, "occlusion": scored(0.0, empty=True)})
    result = write(tmp_path, found)
    report = (tmp_path / "explanations.md").read_text(encoding="utf-8")
    assert {"# Maps", "- split: test", "- checkpoint: model.pt"} <= set(report.splitlines())
    for line in result["reading"]:
        assert f"- {line}" in report
    assert "occlusion 1" in report  # empty maps
    scores, *_, baselines, checks = ({row[0]: row[1:] for row in table} for table in read_tables(report))
    assert scores["trivial baseline: centre of the head"][0] == "0.250 (0.250 to 0.250)"
    assert scores["Grad-CAM"][3] == "0.900 (0.900 to 0.900) at 0.35"
    assert baselines["Grad-CAM – centre of the head"][0] == "0.650 (0.650 to 0.650)"
    assert checks["Grad-CAM"][-1] == checks["occlusion"][-1] == "passes"


def test_the_table_has_a_row_for_each_slice_and_map_and_the_order_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", slices()[::-1])
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    rows = read_table(tmp_path / "a" / "per_slice.csv")
    assert len(rows) == 8 * len(MAPS)
    row = next(row for row in rows if row["image"] == "pituitary/7.png" and row["map"] == "random")
    assert (row["true_class"], row["predicted_class"], row["right"]) == ("pituitary", "glioma", "0")
    assert (float(row["pointing"]), float(row["deletion"])) == pytest.approx((0.4, 0.6))
