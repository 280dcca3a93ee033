"""Pictures of slices for people: overlays, thumbnails, sheets."""

from braintumor_ext.visualize.mosaic import tile_pictures
from braintumor_ext.visualize.overlay import render_overlay, render_thumbnail
from braintumor_ext.visualize.predicted_slice import predicted_thumbnail, save_overlay

__all__ = ["predicted_thumbnail", "render_overlay", "render_thumbnail", "save_overlay", "tile_pictures"]
