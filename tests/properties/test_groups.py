"""What grouping keeps, whatever is alike and whatever is given."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from braintumor_ext.data.duplicates import group_slices


@st.composite
def slices(draw: st.DrawFn) -> tuple[list[str], list[str], np.ndarray, dict[str, str]]:
    count = draw(st.integers(1, 14))
    keys = [f"k{number}" for number in range(count)]
    digests = draw(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=count, max_size=count))
    positions = st.integers(0, count - 1)
    alike = draw(st.lists(st.tuples(positions, positions), max_size=10))
    known = draw(st.dictionaries(st.sampled_from(keys), st.sampled_from(["p1", "p2", "p3"]), max_size=count))
    return keys, digests, np.array(alike, dtype=np.int64).reshape(-1, 2), known


@settings(max_examples=150, deadline=None, derandomize=True)
@given(slices(), st.randoms(use_true_random=False))
def test_what_belongs_together_shares_a_group_in_any_order(drawn, rng) -> None:
    keys, digests, alike, known = drawn
    names = dict(zip(keys, group_slices(keys, digests, alike, known).names, strict=True))
    for first, one in enumerate(keys):
        for second, other in enumerate(keys):
            same_patient = one in known and known.get(one) == known.get(other)
            if same_patient or digests[first] == digests[second]:
                assert names[one] == names[other]
    for first, second in alike.tolist():
        if keys[first] not in known or keys[second] not in known:
            assert names[keys[first]] == names[keys[second]]
    order = list(range(len(keys)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    moved = np.array([[place[a], place[b]] for a, b in alike.tolist()], dtype=np.int64).reshape(-1, 2)
    again = group_slices([keys[k] for k in order], [digests[k] for k in order], moved, known)
    assert dict(zip([keys[k] for k in order], again.names, strict=True)) == names
