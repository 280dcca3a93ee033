"""Pictures of slices for people: overlays, thumbnails, sheets, and the report of an inference."""

from braintumor_ext.visualize.html_report import write_html_report
from braintumor_ext.visualize.mosaic import tile_pictures
from braintumor_ext.visualize.overlay import draw_overlay, render_overlay, render_thumbnail

__all__ = ["draw_overlay", "render_overlay", "render_thumbnail", "tile_pictures", "write_html_report"]
