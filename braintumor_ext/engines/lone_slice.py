"""A batch of one slice, which batch normalisation cannot learn from where the features are one cell."""

from __future__ import annotations

from braintumor_ext.errors import InputError, causes_of

_TOLD_BY_TORCH = "Expected more than 1 value per channel when training"


def lone_slice_error(error: BaseException) -> InputError | None:
    """Return what to say where a training ended at a batch of one slice; None for any other error."""
    cause = next((c for c in causes_of(error) if str(c).startswith(_TOLD_BY_TORCH)), None)
    if cause is None:
        return None
    found = InputError(
        "--batch_size",
        "leaves a batch of one slice, which batch normalisation cannot learn from at an image_size this small",
        "Give a --batch_size that leaves a last batch of two or more, or an --image_size of 64 or more",
    )
    found.__cause__ = cause
    return found
