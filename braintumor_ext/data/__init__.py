"""Data sets: class names, preparation, fixed splits, the datalist, phantoms."""

from braintumor_ext.classes import CLASSES, Classes, class_of_folder, display_name
from braintumor_ext.data.datalist import load_datalist, load_section, shown_name
from braintumor_ext.data.slice_cache import CachedSlices, slice_dataset
from braintumor_ext.data.trivial_baselines import trivial_baselines_for

__all__ = [
    "CLASSES",
    "CachedSlices",
    "Classes",
    "class_of_folder",
    "display_name",
    "load_datalist",
    "load_section",
    "shown_name",
    "slice_dataset",
    "trivial_baselines_for",
]
