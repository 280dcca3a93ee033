from __future__ import annotations

from collections import Counter

import pytest

from braintumor_ext.calibration import calibration_items

ITEMS = [{"image": f"{group}{k}", "group": group, "label": "m"} for group in "abcd" for k in range(10)]


def test_all_items_have_a_role_and_no_mask():
    items = calibration_items(ITEMS[:3], ITEMS, max_training_slices="7", probe_variants=1)
    roles = Counter(item["role"] for item in items)
    assert (roles["validation"], roles["training"]) == (3, 7)
    assert roles["probe"] > 5
    assert not any("label" in item for item in items)
    with pytest.raises(ValueError, match="max_training_slices"):
        calibration_items(ITEMS, ITEMS, -1)
