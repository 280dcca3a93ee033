from __future__ import annotations

import csv
import hashlib
import random
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from braintumor_ext.data.split import (
    SECTIONS,
    SHARES,
    SplitItem,
    canonical,
    external_split,
    given_split,
    grouped_split,
    random_split,
    section_sizes,
    stratified_sizes,
)

PUBLISHED = {"glioma": 826, "meningioma": 822, "pituitary": 827, "no_tumor": 395}


def items_of(counts: dict[str, int], per_group: int = 1) -> list[SplitItem]:
    return [
        SplitItem(f"{name}/{i}.jpg", name, f"{name}-{i // per_group}") for name, n in counts.items() for i in range(n)
    ]


def tally(items: list[SplitItem], split: dict[str, str]) -> Counter[tuple[str, str]]:
    return Counter((item.class_name, split[item.key]) for item in items)


def real_items(root: Path) -> list[SplitItem]:
    with (root / "groups.csv").open(newline="") as file:
        return [SplitItem(r["image"], r["image"].split("/")[0], r["group"]) for r in csv.DictReader(file)]


def test_the_published_set_divides_into_2009_431_430():
    split = random_split(items_of(PUBLISHED), seed=3)
    assert Counter(split.values()) == {"training": 2009, "validation": 431, "test": 430}


def test_every_class_is_rounded_to_a_neighbour_of_its_share():
    sizes = stratified_sizes(list(PUBLISHED.values()))
    for count, row in zip(PUBLISHED.values(), sizes, strict=True):
        assert sum(row) == count
        for size, share in zip(row, SHARES, strict=True):
            assert abs(size - count * share / 100) < 1
    assert [sum(column) for column in zip(*sizes, strict=True)] == [2009, 431, 430]


@pytest.mark.parametrize("seed", range(30))
def test_row_and_column_sums_hold_for_any_class_counts(seed):
    counts = [random.Random(seed).randrange(0, 60) for _ in range(1 + seed % 6)]
    sizes = stratified_sizes(counts)
    assert [sum(row) for row in sizes] == counts
    assert [sum(column) for column in zip(*sizes, strict=True)] == section_sizes(sum(counts))
    assert min(min(row) for row in sizes) >= 0


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (10, [7, 2, 1]), (20, [14, 3, 3]), (2870, [2009, 431, 430])]
)
def test_largest_remainders_and_the_earlier_section_on_a_tie(count, expected):
    assert section_sizes(count) == expected


def test_shares_must_sum_to_100():
    with pytest.raises(ValueError, match="100 per cent"):
        section_sizes(10, (70, 15, 10))


@pytest.mark.parametrize("divide", [random_split, grouped_split])
def test_the_split_does_not_depend_on_the_order_of_files(divide):
    items = items_of(PUBLISHED, per_group=7)
    shuffled = random.Random(1).sample(items, len(items))
    assert divide(items, seed=5) == divide(shuffled, seed=5)


@pytest.mark.parametrize("divide", [random_split, grouped_split])
def test_another_seed_gives_another_split(divide):
    items = items_of({"glioma": 100, "no_tumor": 50}, per_group=2)
    assert divide(items, seed=0) != divide(items, seed=1)


def test_random_order_is_that_of_sha256_of_seed_and_key():
    keys = [f"glioma/{i}.jpg" for i in range(20)]
    by_hash = sorted(keys, key=lambda key: hashlib.sha256(f"4\0{key}".encode()).hexdigest())
    split = random_split([SplitItem(key, "glioma", key) for key in keys], seed=4)
    assert [split[key] for key in by_hash] == ["training"] * 14 + ["validation"] * 3 + ["test"] * 3


def test_a_grouped_seed_keeps_its_meaning():
    # Frozen outcome: a change here would silently give every user another split for the same seed.
    split = grouped_split(items_of({"glioma": 8, "no_tumor": 4}, per_group=2), seed=0)
    assert {key for key, section in split.items() if section == "test"} == {"glioma/0.jpg", "glioma/1.jpg"}
    validation = {"glioma/2.jpg", "glioma/3.jpg", "no_tumor/2.jpg", "no_tumor/3.jpg"}
    assert {key for key, section in split.items() if section == "validation"} == validation


def test_path_separators_and_decomposed_accents_do_not_matter():
    names = ["Gliom Müller/1.jpg", "Gliom Müller/2.jpg", "Gliom Müller/3.jpg"]
    for name in names:
        assert canonical(unicodedata.normalize("NFD", name).replace("/", "\\")) == name


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("per_group", [1, 3, 11])
def test_a_group_is_never_divided(seed, per_group):
    items = items_of(PUBLISHED, per_group)
    split = grouped_split(items, seed)
    sections = defaultdict(set)
    for item in items:
        sections[item.group].add(split[item.key])
    assert all(len(found) == 1 for found in sections.values())
    assert set(split) == {item.key for item in items}


def test_groups_of_one_reach_the_exact_stratified_counts():
    items = items_of(PUBLISHED)
    random_counts, grouped_counts = tally(items, random_split(items)), tally(items, grouped_split(items))
    assert grouped_counts == random_counts


@pytest.mark.parametrize("seed", range(5))
def test_class_shares_deviate_by_less_than_a_group(seed):
    items = items_of({"glioma": 300, "meningioma": 200}, per_group=10)
    counts = tally(items, grouped_split(items, seed))
    for name, total in (("glioma", 300), ("meningioma", 200)):
        for section, share in zip(SECTIONS, SHARES, strict=True):
            assert abs(counts[name, section] - total * share / 100) <= 10


def test_a_class_reaches_every_section_that_its_groups_allow():
    items = items_of({"glioma": 30, "pituitary": 20, "no_tumor": 10}, per_group=10)
    for seed in range(10):
        counts = tally(items, grouped_split(items, seed))
        assert {s for c, s in counts if c == "glioma"} == set(SECTIONS)
        assert len({s for c, s in counts if c == "pituitary"}) == 2
        assert {s for c, s in counts if c == "no_tumor"} == {"training"}


def test_a_group_of_two_classes_stays_together():
    items = [*items_of({"glioma": 20, "meningioma": 20}), *(SplitItem(f"x/{i}", c, "both") for i, c in
             enumerate(["glioma", "meningioma", "glioma"]))]  # fmt: skip
    for seed in range(10):
        split = grouped_split(items, seed)
        assert len({split[f"x/{i}"] for i in range(3)}) == 1


def test_large_groups_reach_the_test_section_about_as_often_as_its_share():
    items = [*items_of({"glioma": 400}), *(SplitItem(f"big/{i}", "glioma", "big") for i in range(40))]
    in_test = sum(grouped_split(items, seed)["big/0"] == "test" for seed in range(300))
    assert 0.09 < in_test / 300 < 0.21  # 15% +- 3 standard deviations of 300 draws


def test_external_puts_all_to_test():
    assert set(external_split(items_of({"glioma": 5})).values()) == {"test"}


def test_given_keeps_the_test_part_and_cuts_validation_from_training_by_groups():
    items = items_of({"glioma": 200, "no_tumor": 100}, per_group=5)
    test_keys = [item.key for item in items if int(item.key.split("/")[1][:-4]) % 5 == 0]
    split = given_split(items, test_keys, seed=2)
    assert {key for key, section in split.items() if section == "test"} == set(test_keys)
    rest = [item for item in items if item.key not in set(test_keys)]
    sections = defaultdict(set)
    for item in rest:
        sections[item.group].add(split[item.key])
    assert all(len(found) == 1 for found in sections.values())
    assert Counter(split[item.key] for item in rest) == {"training": 204, "validation": 36}  # 85 and 15% of 240


@pytest.mark.real_data
@pytest.mark.parametrize("seed", range(3))
def test_real_groups_allow_the_published_counts_without_dividing_one(brain_tumor_mri, seed):
    items = real_items(brain_tumor_mri)
    split = grouped_split(items, seed)
    sections = defaultdict(set)
    for item in items:
        sections[item.group].add(split[item.key])
    assert len(sections) == 638
    assert all(len(found) == 1 for found in sections.values())
    assert tally(items, split) == tally(items, random_split(items, seed))
    assert Counter(split.values()) == {"training": 2009, "validation": 431, "test": 430}
