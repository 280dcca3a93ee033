"""What a calibration looks at: validation slices, a sample of the training's, and pictures that are no brain MRI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from braintumor_ext.calibration.probes import probe_items
from braintumor_ext.data.sampling import spread_over_groups
from braintumor_ext.keys import LABEL

ROLE = "role"
"""What an item is for: one of the three below."""

TRAINING, VALIDATION, PROBE = "training", "validation", "probe"


def calibration_items(
    validation: Sequence[Mapping[str, Any]],
    training: Sequence[Mapping[str, Any]],
    max_training_slices: int | str = 600,
    probe_variants: int = 8,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return all items of a calibration with their ``role``; masks are left out, as nothing here needs them.

    Args:
        validation: the validation section.
        training: the training section.
        max_training_slices: size of the sample of the training section; 0 for all of it.
        probe_variants: pictures of each kind that is no brain MRI.
        seed: of the sample and the pictures.

    Raises:
        ValueError: ``max_training_slices`` is negative or no whole number.
    """
    limit = int(max_training_slices)
    if limit < 0:
        raise ValueError(f"max_training_slices must be 0 (all) or more, not {max_training_slices}.")
    sources = {
        VALIDATION: validation,
        TRAINING: spread_over_groups(training, limit, seed),
        PROBE: probe_items(probe_variants, seed=seed),
    }
    return [
        {**{key: value for key, value in item.items() if key != LABEL}, ROLE: role}
        for role, items in sources.items()
        for item in items
    ]
