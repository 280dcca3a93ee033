from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from braintumor_ext.data.sampling import spread, spread_over_groups

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


@pytest.mark.parametrize("seed", range(5))
def test_every_beginning_holds_the_classes_and_their_groups_as_evenly_as_can_be(seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, 60).tolist()
    groups = [f"{index}-{rng.integers(0, 4)}" for index in classes]
    drawn = rng.permutation(60).tolist()
    order = spread(drawn, groups, classes)
    assert sorted(order) == list(range(60))
    for length in range(60):
        taken, left = order[:length], order[length:]
        for keys, among in ((classes, None), *((groups, index) for index in range(3))):
            counts = Counter(keys[p] for p in taken if among is None or classes[p] == among)
            # none has two more than another that still has some to give
            behind = [counts[keys[p]] for p in left if among is None or classes[p] == among]
            assert not behind or max(counts.values(), default=0) <= min(behind) + 1
    firsts = {group: next(p for p in drawn if groups[p] == group) for group in set(groups)}
    assert {group: next(p for p in order if groups[p] == group) for group in set(groups)} == firsts
