"""Expected values come from one array in canonical (R, A, S) order, reordered by hand for each plane."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from braintumor_ext.transforms import read_slice
from braintumor_ext.transforms.grid import patient_grid, slice_axis

ALL_ORIENTATIONS = ["".join(flip) for order in permutations(("LR", "PA", "IS")) for flip in product(*order)]


def canonical(spacing: tuple[float, float, float]) -> nib.Nifti1Image:
    """Return a volume whose array runs to R, A and S and whose voxels are told apart by value."""
    data = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-7, 11, 3)
    return nib.Nifti1Image(data, affine)


def reoriented(image: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(codes))))


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
@pytest.mark.parametrize("through", [0, 1, 2], ids=["sagittal", "coronal", "axial"])
def test_every_orientation_is_shown_as_radiologists_see_it(tmp_path: Path, codes: str, through: int) -> None:
    spacing = [1.0, 1.0, 1.0]
    spacing[through] = 5.0
    image = canonical((spacing[0], spacing[1], spacing[2]))
    path = tmp_path / "v.nii"
    nib.save(reoriented(image, codes), path)
    data = np.asanyarray(image.dataobj)
    world = 1  # the position in the stack, along R, A or S
    backwards = "LPI"[through] in codes
    index = data.shape[through] - 1 - world if backwards else world
    expected = {
        0: data[world, ::-1, ::-1].T,  # sagittal: rows to I, columns to P
        1: data[::-1, world, ::-1].T,  # coronal: rows to I, columns to L
        2: data[::-1, ::-1, world].T,  # axial: rows to P, columns to L
    }[through]
    shown = read_slice(path, index)
    np.testing.assert_array_equal(shown[0].numpy(), expected)
    # The affine tells where a pixel is: its voxel in the canonical array has its value.
    for row, column in [(0, 0), (1, 2), (expected.shape[0] - 1, 0)]:
        place = np.asarray(shown.affine) @ (row, column, 0, 1)
        i, j, k = np.rint((np.linalg.inv(image.affine) @ place)[:3]).astype(int)
        assert data[i, j, k] == shown[0, row, column]


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((64, 64, 1), (1, 1, 9), 2),
        ((64, 1, 64), (1, 1, 9), 1),  # one slice goes before thickness
        ((64, 64, 20), (1, 1, 5), 2),
        ((20, 64, 64), (5, 1, 1), 0),
        ((64, 20, 64), (1, 1.3, 1), 1),
        ((64, 64, 64), (1, 1.1, 1), 2),  # not clearly thicker: axial
    ],
)
def test_the_slice_axis(shape: tuple[int, int, int], spacing: tuple[float, ...], axis: int) -> None:
    assert slice_axis(shape, np.diag([*spacing, 1.0])) == axis


def test_isotropic_volumes_are_cut_axially_whatever_their_axes() -> None:
    affine = np.array([[0, 0, 1.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # axes run to A, S, R
    assert slice_axis((9, 9, 9), affine) == 1


def test_an_oblique_volume_takes_the_nearest_plane_without_resampling() -> None:
    tilt = np.deg2rad(20)
    rotation = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([0.5, 0.7, 5.0])
    grid = patient_grid("nifti", 16, (30, 40, 8), 3, affine)
    assert grid.shape == (40, 30, 8)
    np.testing.assert_allclose(grid.spacing, [0.7, 0.5])
    np.testing.assert_allclose(grid.affine[:3, 0], -affine[:3, 1])
