"""How right a predictor is on a section of a datalist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braintumor_ext.data.datalist import true_mask
from braintumor_ext.inference.predictor import Predictor
from braintumor_ext.keys import CLASS, IMAGE, SLICE, UNKNOWN
from braintumor_ext.metrics import SliceRecord
from braintumor_ext.metrics.section_scores import SectionScores


def score_section(predictor: Predictor, items: Sequence[Mapping[str, Any]]) -> SectionScores:
    """Predict a section's slices and score them.

    Raises:
        InputError: a slice cannot be read.
    """
    found = (predictor(item[IMAGE], slice_index=item.get(SLICE)) for item in items)
    records = [
        SliceRecord.of(one, str(item[IMAGE]), None, int(item.get(CLASS, UNKNOWN)), true_mask(item))
        for one, item in zip(found, items, strict=True)
    ]
    right = [record.predicted_class == record.true_class for record in records if record.true_class != UNKNOWN]
    dice = [record.dice for record in records if record.true_area_px]
    accuracy, overlap = (float(np.mean(values)) if values else None for values in (right, dice))
    return SectionScores(len(records), accuracy, overlap, tuple(record.predicted_class for record in records))
