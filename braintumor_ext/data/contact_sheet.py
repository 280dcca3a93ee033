"""A sheet of slices of each class, for a person to look at before trusting a data set."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from braintumor_ext.classes import Classes, display_name
from braintumor_ext.colours import OKABE_ITO
from braintumor_ext.data.inspection import InspectedSlice
from braintumor_ext.data.sampling import spread
from braintumor_ext.data.split import draw_by_name
from braintumor_ext.plots import picture_grid, save_png
from braintumor_ext.transforms import read_grey, read_mask

COLUMNS = 8


def draw_contact_sheet(slices: Sequence[InspectedSlice], classes: Classes, path: str | PathLike[str]) -> None:
    """Write a PNG with a row of slices for each class, tumours outlined.

    Which slices are shown depends on their names only, and no two of a group while there are others.
    """
    figure, grid = picture_grid(len(classes), COLUMNS, 1.6 * COLUMNS, 1.75 * len(classes))
    for row, name in zip(grid, classes, strict=True):
        for axes, slice_ in zip(row, _chosen([s for s in slices if s.class_name == name]), strict=False):
            axes.imshow(read_grey(slice_.found.path), cmap="gray", vmin=0, vmax=1)
            if slice_.mask is not None and slice_.mask_area:
                axes.contour(read_mask(slice_.mask), levels=[0.5], colors=[OKABE_ITO[0]], linewidths=1.2)
        row[0].set_title(display_name(name), loc="left", fontsize=11)
    save_png(figure, path)


def _chosen(slices: Sequence[InspectedSlice]) -> list[InspectedSlice]:
    drawn = sorted(range(len(slices)), key=lambda position: draw_by_name(0, slices[position].key))
    return [slices[position] for position in spread(drawn, [s.group for s in slices])[:COLUMNS]]
