"""What every split keeps, whatever the items."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from braintumor_ext.data.split import SplitItem, grouped_split, random_split, section_sizes, stratified_sizes

NAMES = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["a", "\udcff", "two\nlines"])


@st.composite
def items(draw: st.DrawFn) -> list[SplitItem]:
    drawn = draw(st.lists(st.tuples(st.sampled_from("ABC"), NAMES), min_size=1, max_size=60))
    return [SplitItem(f"{number}", name, group) for number, (name, group) in enumerate(drawn)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(items(), st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_a_grouped_split_divides_no_group_and_knows_no_order(listed, seed, rng) -> None:
    split = grouped_split(listed, seed)
    assert set(split) == {item.key for item in listed}
    sections: dict[str, set[str]] = {}
    for item in listed:
        sections.setdefault(item.group, set()).add(split[item.key])
    assert all(len(found) == 1 for found in sections.values())
    shuffled = list(listed)
    rng.shuffle(shuffled)
    assert grouped_split(shuffled, seed) == split


@settings(max_examples=60, deadline=None, derandomize=True)
@given(items(), st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_a_random_split_has_the_sizes_of_its_shares_and_knows_no_order(listed, seed, rng) -> None:
    split = random_split(listed, seed)
    counts = Counter(split.values())
    assert [counts[name] for name in ("training", "validation", "test")] == section_sizes(len(listed))
    shuffled = list(listed)
    rng.shuffle(shuffled)
    assert random_split(shuffled, seed) == split


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_each_cell_of_a_stratified_table_is_its_share_rounded_down_or_up(counts) -> None:
    sizes = stratified_sizes(counts)
    assert [sum(row) for row in sizes] == counts
    assert [sum(column) for column in zip(*sizes, strict=True)] == section_sizes(sum(counts))
    for row, count in zip(sizes, counts, strict=True):
        for size, share in zip(row, (70, 15, 15), strict=True):
            assert abs(size - count * share / 100) < 1
