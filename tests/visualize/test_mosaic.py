"""Many pictures on one sheet."""

from __future__ import annotations

import pytest
from PIL import Image

from braintumor_ext.visualize import tile_pictures


def test_pictures_stand_in_reading_order_at_one_width():
    pictures = [Image.new("RGB", (40, 20), colour) for colour in ("red", "lime", "blue")]
    sheet = tile_pictures(pictures, columns=2, width=20)
    assert sheet.size == (40, 20)  # two rows of height 20 * 20 / 40
    corners = [sheet.getpixel(p) for p in ((5, 5), (25, 5), (5, 15), (25, 15))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def test_nothing_to_tile_is_refused():
    with pytest.raises(ValueError, match="no pictures"):
        tile_pictures([])
