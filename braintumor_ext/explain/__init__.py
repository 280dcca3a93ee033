"""Why the model says so: heat maps of its predictions, and how good these are."""

from braintumor_ext.explain.activation_gradients import ActivationGradients
from braintumor_ext.explain.explainer import METHODS, Explainer, Explanation
from braintumor_ext.explain.inferer import ExplainingInferer, explained_in_float32
from braintumor_ext.explain.layers import DEFAULT_LAYER, attention_map, find_layer, layer_names
from braintumor_ext.explain.scores import class_score, mask_score, to_unit_range

__all__ = [
    "DEFAULT_LAYER",
    "METHODS",
    "ActivationGradients",
    "Explainer",
    "ExplainingInferer",
    "Explanation",
    "attention_map",
    "class_score",
    "explained_in_float32",
    "find_layer",
    "layer_names",
    "mask_score",
    "to_unit_range",
]
