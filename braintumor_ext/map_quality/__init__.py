"""How good heat maps are: scored against masks, beside floors, and tested for what they owe to the weights."""

from braintumor_ext.map_quality.deletion_insertion import PerturbationCurves, deletion_insertion
from braintumor_ext.map_quality.floor_maps import centre_maps, random_maps
from braintumor_ext.map_quality.map_evaluation import MapEvaluation, checked_methods
from braintumor_ext.map_quality.map_scores import MapScores, energy_share, pointing_game, score_map
from braintumor_ext.map_quality.randomisation import cascade, similarity, stages_from_the_head

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
