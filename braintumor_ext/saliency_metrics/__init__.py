"""How good heat maps are: scored against masks, beside baselines, and tested for what they owe to the weights."""

from braintumor_ext.saliency_metrics.baseline_maps import centre_maps, random_maps
from braintumor_ext.saliency_metrics.deletion_insertion import PerturbationCurves, deletion_insertion
from braintumor_ext.saliency_metrics.map_evaluation import MapEvaluation, checked_methods
from braintumor_ext.saliency_metrics.map_scores import MapScores, energy_share, pointing_game, score_map
from braintumor_ext.saliency_metrics.randomisation import cascade, similarity, stages_from_the_head

__all__ = [
    "MapEvaluation",
    "MapScores",
    "PerturbationCurves",
    "cascade",
    "centre_maps",
    "checked_methods",
    "deletion_insertion",
    "energy_share",
    "pointing_game",
    "random_maps",
    "score_map",
    "similarity",
    "stages_from_the_head",
]
