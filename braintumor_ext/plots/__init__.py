"""Plots of numbers: curves, matrices and histograms in one style."""

from braintumor_ext.plots.evaluation import plot_confusion_matrix, plot_reliability, plot_roc_curves
from braintumor_ext.plots.map_curves import plot_perturbation_curves, plot_sanity
from braintumor_ext.plots.score_histogram import plot_scores
from braintumor_ext.plots.style import add_grid, line_style, new_figure, picture_grid, save_png
from braintumor_ext.plots.training_curves import plot_training_curves, training_figure

__all__ = [
    "add_grid",
    "line_style",
    "new_figure",
    "picture_grid",
    "plot_confusion_matrix",
    "plot_perturbation_curves",
    "plot_reliability",
    "plot_roc_curves",
    "plot_sanity",
    "plot_scores",
    "plot_training_curves",
    "save_png",
    "training_figure",
]
