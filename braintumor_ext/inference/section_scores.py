"""How right a predictor is on a section of a datalist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from braintumor_ext.inference.predictor import Predictor
from braintumor_ext.keys import CLASS, IMAGE, LABEL, SLICE, UNKNOWN
from braintumor_ext.metrics import score_mask
from braintumor_ext.metrics.section_scores import SectionScores
from braintumor_ext.transforms import read_mask


def score_section(predictor: Predictor, items: Sequence[Mapping[str, Any]]) -> SectionScores:
    """Predict a section's slices and score them.

    Args:
        predictor: gives classes and masks.
        items: as :func:`~braintumor_ext.data.datalist.load_section` gives them.

    Raises:
        InputError: a slice cannot be read.
    """
    classes: list[int] = []
    right: list[bool] = []
    dice: list[float] = []
    for item in items:
        found = predictor(item[IMAGE], slice_index=item.get(SLICE))
        assert found.class_index is not None
        assert found.mask is not None
        classes.append(found.class_index)
        if item.get(CLASS, UNKNOWN) != UNKNOWN:
            right.append(found.class_index == int(item[CLASS]))
        if LABEL in item:
            true = read_mask(item[LABEL], item.get(SLICE)) > 0
            if true.any():
                dice.append(score_mask(found.mask, true).dice)
    accuracy, overlap = (float(np.mean(values)) if values else None for values in (right, dice))
    return SectionScores(len(classes), accuracy, overlap, tuple(classes))
