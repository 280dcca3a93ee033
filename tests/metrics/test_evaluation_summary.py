from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from braintumor_ext.classes import Classes
from braintumor_ext.errors import InputError
from braintumor_ext.metrics import SliceRecord, summarise_evaluation

CLASSES = Classes(("glioma", "meningioma", "no_tumor"), empty="no_tumor")
NAN = float("nan")


def record(image: str, true_class: int, predicted_class: int, confidence: float = 0.8, **fields: object) -> SliceRecord:
    rest = (1 - confidence) / (len(CLASSES) - 1)
    probabilities = tuple(confidence if k == predicted_class else rest for k in range(len(CLASSES)))
    return replace(SliceRecord(image, None, true_class, probabilities), **fields)  # type: ignore[arg-type]


def summary(records: list[SliceRecord], **options: object) -> dict:
    return summarise_evaluation(records, CLASSES, n_draws=50, **options)  # type: ignore[arg-type]


FOUND = {"mask_known": True, "true_area_px": 10, "pred_area_px": 9, "iou": 0.5}
RECORDS = [
    record("a.png", 0, 0, dice=0.8, hd95=4.0, hd95_unit="mm", **FOUND),
    record("b.png", 0, 2, dice=0.6, hd95=3.0, hd95_unit="px", **FOUND),  # found, but gated away by its class
    record("c.png", 1, 1, dice=0.0, iou=0.0, mask_known=True, true_area_px=10),  # missed
    record("d.png", 1, 1, pred_area_px=7),  # unknown mask
    record("e.png", 2, 2, mask_known=True, pred_area_px=3, dice=0.0, iou=0.0),  # a false alarm that gating removes
    record("f.png", 2, 0, mask_known=True, pred_area_px=3, dice=0.0, iou=0.0),  # one that it doesn't
    record("g.png", 2, 2, mask_known=True),
    record("h.png", -1, 0, dice=0.4, hd95=8.0, hd95_unit="mm", **FOUND),  # unknown class
]


def test_slices_are_counted_by_what_is_known_of_them() -> None:
    counts = summary([*RECORDS, record("i.png", 0, 0, flags=("upscaled",))])["slices"]
    expected = {"total": 9, "class_known": 8, "class_unknown": 1, "mask_known": 7, "mask_unknown": 2}
    assert counts == {**expected, "groups": 9, "flags": {"upscaled": 1}}


def test_classification_leaves_out_slices_of_unknown_class() -> None:
    result = summary(RECORDS)
    assert result["confusion_matrix"] == [[1, 0, 1], [0, 2, 0], [1, 0, 2]]
    assert result["classification"]["n"] == 7
    assert result["classification"]["accuracy"]["value"] == pytest.approx(5 / 7)
    assert [result["per_class"][name]["support"] for name in CLASSES] == [2, 2, 3]


def test_masks_are_scored_on_tumour_slices_with_a_known_mask_only() -> None:
    tumour = summary(RECORDS)["segmentation"]["tumour_slices"]
    assert (tumour["n"], tumour["missed"], tumour["missed_gated"]) == (4, 1, 2)
    assert tumour["dice"]["value"] == pytest.approx((0.8 + 0.6 + 0.0 + 0.4) / 4)
    assert tumour["dice"]["median"] == pytest.approx((0.6 + 0.4) / 2)
    assert tumour["per_class"]["glioma"]["dice"]["value"] == pytest.approx(0.7)
    assert "no_tumor" not in tumour["per_class"]


def test_distances_in_mm_and_pixels_are_never_mixed_and_leave_out_the_missed() -> None:
    tumour = summary(RECORDS)["segmentation"]["tumour_slices"]
    assert (tumour["hd95_mm"]["value"], tumour["hd95_mm"]["n"]) == (pytest.approx(6.0), 2)
    assert (tumour["hd95_px"]["value"], tumour["hd95_px"]["n"]) == (pytest.approx(3.0), 1)


def test_false_alarms_are_counted_raw_and_gated_by_class() -> None:
    empty = summary(RECORDS)["segmentation"]["no_tumour_slices"]
    assert empty["n"] == 3
    assert (empty["raw"]["count"], empty["raw"]["value"]) == (2, pytest.approx(2 / 3))
    assert (empty["gated"]["count"], empty["gated"]["value"]) == (1, pytest.approx(1 / 3))


def test_without_an_empty_class_there_is_no_such_section_and_nothing_is_gated() -> None:
    result = summarise_evaluation(RECORDS, Classes(CLASSES.names), n_draws=10)["segmentation"]
    assert result["no_tumour_slices"] is None
    assert result["tumour_slices"]["missed_gated"] == result["tumour_slices"]["missed"]


def many(n: int, seed: int = 0) -> list[SliceRecord]:
    rng = np.random.default_rng(seed)
    records = []
    for index in range(n):
        true = int(rng.integers(3))
        logits = rng.normal(size=3) + 2 * np.eye(3)[true]
        shares = np.exp(logits) / np.exp(logits).sum()
        group = f"g{rng.integers(n // 4)}" if rng.random() < 0.8 else None
        found = {**FOUND, "dice": float(rng.random())} if true < 2 else {}
        records.append(
            replace(SliceRecord(f"{index:04}.png", group, true, tuple(shares.tolist())), **found)  # type: ignore[arg-type]
        )
    return records


def test_numbers_and_intervals_do_not_depend_on_the_order_of_the_slices() -> None:
    records = many(60)
    assert summary(records) == summary(records[::-1]) == summary(records[1::2] + records[::2])


def test_intervals_hold_their_value_and_follow_the_seed() -> None:
    records = many(120)
    first, again, other = (summary(records, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["bootstrap"]["seed"] == 1
    for name in ("accuracy", "macro_f1", "macro_roc_auc"):
        estimate = first["classification"][name]
        assert estimate["ci95"][0] < estimate["value"] < estimate["ci95"][1]
        assert estimate["value"] == other["classification"][name]["value"]
        assert estimate["ci95"] != other["classification"][name]["ci95"]


def test_2000_draws_of_430_slices_take_little_time() -> None:
    start = time.process_time()
    summarise_evaluation(many(430), CLASSES, n_draws=2000)
    assert time.process_time() - start < 10


def test_probabilities_that_are_not_finite_name_the_slice() -> None:
    with pytest.raises(InputError, match=r"bad\.png: .*not 3 finite numbers"):
        summary([SliceRecord("bad.png", None, 0, (NAN, 0.5, 0.5))])
    with pytest.raises(InputError, match=r"short\.png: .*not 3 finite numbers"):
        summary([SliceRecord("short.png", None, 0, (0.5, 0.5))])


def test_no_record_is_refused() -> None:
    with pytest.raises(ValueError, match="no slice was evaluated"):
        summary([])
