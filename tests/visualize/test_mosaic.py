"""Many pictures on one sheet."""

from __future__ import annotations

import pytest
from PIL import Image

from braintumor_ext.visualize import tile_pictures


def test_pictures_stand_in_reading_order_at_one_width(tmp_path):
    colours = ["red", "lime", "blue"]
    for colour in colours:
        Image.new("RGB", (40, 20), colour).save(tmp_path / f"{colour}.png")
    tile_pictures([tmp_path / f"{c}.png" for c in colours], tmp_path / "sheet.png", columns=2, width=20)
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.size == (40, 20)  # two rows of height 20 * 20 / 40
    corners = [sheet.getpixel(p) for p in ((5, 5), (25, 5), (5, 15), (25, 15))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def test_nothing_to_tile_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        tile_pictures([], tmp_path / "sheet.png")
