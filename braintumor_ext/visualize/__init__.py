"""Pictures for people: overlays, curves, matrices."""

from braintumor_ext.visualize.confusion_matrix import plot_confusion_matrix
from braintumor_ext.visualize.html_report import write_html_report
from braintumor_ext.visualize.mosaic import tile_pictures
from braintumor_ext.visualize.overlay import draw_overlay, render_overlay, render_thumbnail
from braintumor_ext.visualize.reliability import plot_reliability
from braintumor_ext.visualize.roc_curves import plot_roc_curves
from braintumor_ext.visualize.training_curves import plot_training_curves

__all__ = [
    "draw_overlay",
    "plot_confusion_matrix",
    "plot_reliability",
    "plot_roc_curves",
    "plot_training_curves",
    "render_overlay",
    "render_thumbnail",
    "tile_pictures",
    "write_html_report",
]
