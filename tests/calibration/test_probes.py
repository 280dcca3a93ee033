from __future__ import annotations

import numpy as np
import pytest

from braintumor_ext.calibration import PROBE_KINDS, draw_probe, probe_items
from braintumor_ext.transforms import LoadImageSlice, ToUnitGrey


@pytest.mark.parametrize("kind", PROBE_KINDS)
def test_a_probe_is_a_grey_picture_that_the_bundle_can_read(kind):
    for variant in range(4):
        picture = draw_probe(kind, variant, 48)
        assert picture.shape == (48, 48)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert ToUnitGrey()(LoadImageSlice()(picture)).shape == (1, 48, 48)  # a constant one would be refused


@pytest.mark.parametrize("kind", PROBE_KINDS)
def test_a_seed_gives_the_same_picture_and_variants_differ(kind):
    first = draw_probe(kind, 1, 64, seed=5)
    np.testing.assert_array_equal(first, draw_probe(kind, 1, 64, seed=5))
    assert (first != draw_probe(kind, 2, 64, seed=5)).any()
    assert (first != draw_probe(kind, 1, 64, seed=6)).any()


def test_items_hold_each_kind_equally_often():
    items = probe_items(3, 32)
    assert len(items) == 3 * len(PROBE_KINDS)
    assert all(sum(item["kind"] == kind for item in items) == 3 for kind in PROBE_KINDS)


def test_an_unknown_kind_and_a_tiny_size_are_told():
    with pytest.raises(ValueError, match=r"no probe 'cat': valid are uniform noise"):
        draw_probe("cat")
    with pytest.raises(ValueError, match="at least 32"):
        draw_probe("blank", size=16)
