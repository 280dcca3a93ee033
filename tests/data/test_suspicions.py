from __future__ import annotations

import numpy as np
import pytest

from braintumor_ext.data.suspicions import CT_LIKE, is_coloured, looks_like_ct, suspicions
from braintumor_ext.transforms import read_grey


def head(rim: float, inside: float, thickness: int) -> np.ndarray:
    """A disc of radius 80 with a rim, on black."""
    rows, columns = np.mgrid[:200, :200] - 100
    radius = np.hypot(rows, columns)
    return np.where(radius > 80, 0, np.where(radius > 80 - thickness, rim, inside)).astype(np.float32)


def test_a_thick_saturated_rim_is_ct_like():
    assert looks_like_ct(head(rim=1.0, inside=0.4, thickness=8))


@pytest.mark.parametrize(
    ("rim", "inside", "thickness"),
    [(1.0, 0.4, 2), (0.7, 0.4, 8), (1.0, 0.7, 8)],
    ids=["thin fat line of MRI", "grey rim", "bright inside"],
)
def test_other_heads_are_not(rim, inside, thickness):
    assert not looks_like_ct(head(rim, inside, thickness))


def test_a_black_picture_is_not():
    assert not looks_like_ct(np.zeros((50, 50), np.float32))


def test_colour_is_told_from_grey_stored_as_rgb_with_compression_noise():
    grey = np.random.default_rng(0).integers(0, 250, (1, 40, 40)).repeat(3, axis=0).astype(np.float32)
    noisy = grey + np.random.default_rng(1).integers(-5, 6, grey.shape)
    assert not is_coloured(noisy)
    noisy[0, :10] += 100
    assert is_coloured(noisy)
    assert not is_coloured(grey[:1])
    assert len(suspicions(noisy, head(1.0, 0.4, 8))) == 2


@pytest.mark.real_data
def test_real_ct_slices_are_found_and_real_mri_slices_are_not(brain_tumor_mri):
    folder = brain_tumor_mri / "Training"
    ct = ["no_tumor/image (12).jpg", "no_tumor/image (42).jpg", "no_tumor/image(16).jpg"]
    mri = sorted((folder / "glioma_tumor").glob("*.jpg"))[:20] + sorted((folder / "pituitary_tumor").glob("*.jpg"))[:20]
    assert all(suspicions(np.zeros((1, 2, 2)), read_grey(folder / name)) == [CT_LIKE] for name in ct)
    assert not any(looks_like_ct(read_grey(path)) for path in mri)
