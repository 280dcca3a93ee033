from __future__ import annotations

from collections import Counter

import pytest

from braintumor_ext.calibration import calibration_items, spread_over_groups

ITEMS = [{"image": f"{group}{k}", "group": group, "label": "m"} for group in "abcd" for k in range(10)]


def test_a_sample_takes_as_many_groups_as_it_can_and_evenly():
    assert len({item["group"] for item in spread_over_groups(ITEMS, 4)}) == 4
    counts = Counter(item["group"] for item in spread_over_groups(ITEMS, 10))
    assert sorted(counts.values()) == [2, 2, 3, 3]


def test_a_sample_keeps_the_order_and_is_the_same_for_a_seed():
    sample = spread_over_groups(ITEMS, 13, seed=2)
    assert [ITEMS.index(item) for item in sample] == sorted(ITEMS.index(item) for item in sample)
    assert sample == spread_over_groups(ITEMS, 13, seed=2)
    assert sample != spread_over_groups(ITEMS, 13, seed=3)


def test_nought_is_all_and_items_without_a_group_stand_alone():
    assert spread_over_groups(ITEMS, 0) == ITEMS
    alone = [{"image": str(k)} for k in range(5)]
    mixed = [*alone, *[{"image": f"g{k}", "group": "g"} for k in range(50)]]
    assert [item for item in spread_over_groups(mixed, 6) if "group" not in item] == alone


def test_all_items_have_a_role_and_no_mask():
    items = calibration_items(ITEMS[:3], ITEMS, max_training_slices="7", probe_variants=1)
    roles = Counter(item["role"] for item in items)
    assert (roles["validation"], roles["training"]) == (3, 7)
    assert roles["probe"] > 5
    assert not any("label" in item for item in items)
    with pytest.raises(ValueError, match="max_training_slices"):
        calibration_items(ITEMS, ITEMS, -1)
