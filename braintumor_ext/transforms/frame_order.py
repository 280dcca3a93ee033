"""Where the slices of a volume lie along the normal of their planes, and whether one affine can tell it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braintumor_ext.errors import InputError

_ONE_PLACE = 1e-3  # mm
_OFF_GRID = 0.1  # of the distance between slices; what headers round stays below


def spatial_order(path: str | Path, along: np.ndarray, what: str = "frame") -> np.ndarray:
    """Return which slice is at each place, (N,), in ascending order of place.

    Args:
        path: the file or folder, for errors.
        along: (N,) mm along the normal, the place of each slice as stored.
        what: what a slice is called in errors.

    Raises:
        InputError: if two are at one place, or one lies farther than a tenth of the distance between slices from its
            place on an even grid.
    """
    order = np.argsort(along, kind="stable")
    places = along[order]
    remedy = f"Give each volume by itself, its {what}s evenly spaced"
    repeated = np.flatnonzero(np.diff(places) < _ONE_PLACE)
    if repeated.size:
        first, second = sorted(int(index) + 1 for index in order[repeated[0] : repeated[0] + 2])
        problem = f"has several {what}s at one place ({first} and {second}: two echoes or times?)"
        raise InputError(path, problem, remedy)
    if len(places) > 2:
        even = np.linspace(places[0], places[-1], len(places))
        distances = np.diff(places)
        if np.abs(places - even).max() > _OFF_GRID * distances.mean():
            problem = f"has unevenly spaced {what}s ({distances.min():g} to {distances.max():g} mm apart; one missing?)"
            raise InputError(path, problem, remedy)
    return order
