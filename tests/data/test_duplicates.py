from __future__ import annotations

import csv

import numpy as np
import pytest

from braintumor_ext.data.duplicates import byte_duplicates, connected_sets, group_slices, near_duplicate_pairs
from braintumor_ext.data.thumbnails import thumbnail, unit_vectors
from braintumor_ext.transforms import read_grey
from tests.data.folders import grey_slice

NONE = np.empty((0, 2), dtype=np.int64)


def test_unit_vectors_give_pearson_correlation():
    thumbnails = np.stack([thumbnail(grey_slice(seed) / 255) for seed in range(5)])
    vectors = unit_vectors(thumbnails)
    np.testing.assert_allclose(vectors @ vectors.T, np.corrcoef(thumbnails.reshape(5, -1)), atol=1e-5)


def test_a_constant_thumbnail_correlates_with_nothing():
    thumbnails = np.stack([np.full((48, 48), 7, np.uint8), thumbnail(grey_slice(0) / 255)])
    assert near_duplicate_pairs(thumbnails, threshold=-0.5).tolist() == [[0, 1]]
    assert near_duplicate_pairs(thumbnails, threshold=0).tolist() == []


def test_byte_duplicates_are_sets_of_equal_digests():
    assert byte_duplicates(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


def test_a_brighter_noisy_copy_is_a_near_duplicate_and_another_slice_is_not():
    original = grey_slice(0) / 255
    noise = np.random.default_rng(1).normal(0, 0.02, original.shape)
    copy = np.clip(original * 0.8 + 0.1 + noise, 0, 1)
    thumbnails = np.stack([thumbnail(original), thumbnail(grey_slice(2) / 255), thumbnail(copy)])
    assert near_duplicate_pairs(thumbnails).tolist() == [[0, 2]]


def test_pairs_of_a_large_set_equal_those_of_the_whole_matrix():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, size=(1100, 48, 48), dtype=np.uint8)
    base[1050] = base[3]
    base[1099] = base[1050]
    assert near_duplicate_pairs(base).tolist() == [[3, 1050], [3, 1099], [1050, 1099]]


def test_connected_sets_join_chains():
    assert connected_sets(5, np.array([[0, 3], [3, 4]])) == [[0, 3, 4], [1], [2]]


def test_without_given_groups_near_duplicates_are_groups_named_after_their_first_slice():
    grouping = group_slices(["b", "a", "c"], ["1", "2", "3"], np.array([[0, 1]]))
    assert grouping.names == ["near:a", "near:a", "near:c"]
    assert grouping.found == 3


def test_given_groups_outrank_likeness():
    grouping = group_slices(["a", "b"], ["1", "2"], np.array([[0, 1]]), {"a": "p1", "b": "p2"})
    assert grouping.names == ["p1", "p2"]
    assert grouping.joined == []


def test_an_ungrouped_slice_joins_the_group_of_its_near_duplicate():
    grouping = group_slices(["a", "b", "c"], ["1", "2", "3"], np.array([[0, 1]]), {"a": "p1", "c": "p2"})
    assert grouping.names == ["p1", "p1", "p2"]


def test_identical_files_share_a_group_whatever_was_given():
    grouping = group_slices(["a", "b", "c"], ["1", "1", "2"], NONE, {"a": "p2", "b": "p1", "c": "p2"})
    assert grouping.names == ["p1", "p1", "p1"]
    assert grouping.joined == [["p1", "p2"]]


@pytest.mark.real_data
def test_near_duplicates_of_real_slices_lie_in_one_published_group(brain_tumor_mri):
    with (brain_tumor_mri / "groups.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"].startswith("no_tumor")]
    thumbnails = np.stack([thumbnail(read_grey(brain_tumor_mri / "Training" / row["image"])) for row in rows])
    groups = [row["group"] for row in rows]
    pairs = near_duplicate_pairs(thumbnails)
    assert len(pairs) > 50
    assert all(groups[a] == groups[b] for a, b in pairs)
    # Of these slices no patient is known: their groups are the near-duplicates.
    assert len(connected_sets(len(rows), pairs)) == len(set(groups)) == 297
