"""Transforms: reading slices as a person sees them, grey in [0, 1], unknown targets, masks, augmentation."""

from braintumor_ext.transforms.augment import (
    RandBrightnessContrastd,
    RandErase,
    RandErased,
)
from braintumor_ext.transforms.batch_augment import AugmentationDraw, BatchAugment
from braintumor_ext.transforms.formats import SUPPORTED_SUFFIXES, is_supported
from braintumor_ext.transforms.found_files import FoundFiles, find_files, find_images
from braintumor_ext.transforms.grid import SliceGrid
from braintumor_ext.transforms.intensity import ToUnitGrey, ToUnitGreyd, read_grey
from braintumor_ext.transforms.load import LoadImageSlice, LoadImageSliced
from braintumor_ext.transforms.mask import CheckSameSized, FillUnknownd, ToBinaryMask, ToBinaryMaskd, read_mask
from braintumor_ext.transforms.reader import SliceReader, count_slices, read_slice
from braintumor_ext.transforms.restore_grid import restore_grid, restore_volume, write_mask, write_volume_mask

__all__ = [
    "SUPPORTED_SUFFIXES",
    "AugmentationDraw",
    "BatchAugment",
    "CheckSameSized",
    "FillUnknownd",
    "FoundFiles",
    "LoadImageSlice",
    "LoadImageSliced",
    "RandBrightnessContrastd",
    "RandErase",
    "RandErased",
    "SliceGrid",
    "SliceReader",
    "ToBinaryMask",
    "ToBinaryMaskd",
    "ToUnitGrey",
    "ToUnitGreyd",
    "count_slices",
    "find_files",
    "find_images",
    "is_supported",
    "read_grey",
    "read_mask",
    "read_slice",
    "restore_grid",
    "restore_volume",
    "write_mask",
    "write_volume_mask",
]
