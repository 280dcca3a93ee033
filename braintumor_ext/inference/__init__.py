"""From files to answers: inputs, a dataset that bears bad files, and what is written."""

from braintumor_ext.inference.decode import class_probabilities, mask_on_grid
from braintumor_ext.inference.inputs import list_inputs, parse_slices
from braintumor_ext.inference.prediction_writer import PredictionWriter
from braintumor_ext.inference.tolerant_dataset import TolerantDataset

__all__ = [
    "PredictionWriter",
    "TolerantDataset",
    "class_probabilities",
    "list_inputs",
    "mask_on_grid",
    "parse_slices",
]
