"""What reading keeps, whatever the values of a slice, and where masks come back to."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nibabel.orientations import apply_orientation

from braintumor_ext.transforms import ToBinaryMask, ToUnitGrey, restore_volume
from braintumor_ext.transforms.grid import SliceGrid, patient_grid
from braintumor_ext.transforms.shrink import shrunk

SIDES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=24)
QUICK = settings(max_examples=100, deadline=None, derandomize=True)


@QUICK
@given(hnp.arrays(st.sampled_from([np.uint8, np.int16, np.uint16, np.float32]), SIDES))
def test_grey_is_in_0_to_1_and_keeps_the_order_of_values(values: np.ndarray) -> None:
    assume(np.isfinite(values).all() and values.min() < values.max())
    assume(np.abs(values.astype(np.float64)).max() < 1e30)
    grey = ToUnitGrey()(values).numpy()[0]
    assert grey.min() >= 0
    assert grey.max() <= 1
    order = np.argsort(values, axis=None, kind="stable")
    # a constant background, which fills a corner, may become as dark as the darkest of the rest
    background = np.isin(values[[0, 0, -1, -1], [0, -1, 0, -1]], (values.min(), values.max())).any()
    if values.dtype == np.uint8 or not background:
        assert (np.diff(grey.ravel()[order].astype(np.float64)) >= -1e-6).all()


@QUICK
@given(hnp.arrays(np.uint8, SIDES), st.sampled_from([1, 255]))
def test_a_mask_is_what_is_not_zero(values: np.ndarray, top: int) -> None:
    marked = values > 127
    found = ToBinaryMask()((marked * top).astype(np.uint8)).numpy()[0]
    np.testing.assert_array_equal(found > 0, marked)


AXES = [(axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((-1, 1), repeat=3)]


def _grid(axes: tuple[int, ...], signs: tuple[int, ...], shape: tuple[int, int, int]) -> SliceGrid:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, column] = sign * (1.0, 1.1, 1.15)[column]
    return patient_grid("nifti", 16, shape, 3, affine)


@QUICK
@given(st.sampled_from(AXES), st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 2**32 - 1))
def test_masks_of_displayed_slices_come_back_to_their_own_voxels(axes, shape, seed) -> None:
    grid = _grid(*axes, shape)
    volume = np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8)
    shown = apply_orientation(volume, _inverse(grid.native_ornt))
    assert shown.shape == grid.shape
    masks = {index: shown[:, :, index] for index in range(grid.slice_count)}
    back, affine = restore_volume(masks, grid.metadata("a.nii", 0))
    np.testing.assert_array_equal(back, volume)
    np.testing.assert_array_equal(affine, grid.native_affine)


def _inverse(ornt: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(ornt)
    for source, (target, sign) in enumerate(ornt):
        inverse[int(target)] = source, sign
    return inverse


@QUICK
@given(hnp.arrays(np.uint8, SIDES), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 8]))
def test_shrinking_keeps_the_sum_and_the_range(values: np.ndarray, down: int, across: int) -> None:
    found = shrunk(values, (down, across))
    assert found.min() >= values.min()
    assert found.max() <= values.max()
    whole = values[: values.shape[0] // down * down, : values.shape[1] // across * across]
    if whole.shape == values.shape:
        np.testing.assert_allclose(found.mean(), values.mean(), rtol=1e-5, atol=1e-5)
