"""From files to predictions: inputs, a dataset that bears bad files, predictions, and what is written."""

from braintumor_ext.inference.inputs import list_inputs, parse_slices
from braintumor_ext.inference.postprocessor import (
    Postprocessd,
    Postprocessor,
    class_probabilities,
    heat_map_on_grid,
    mask_on_grid,
)
from braintumor_ext.inference.precision import inference_precision
from braintumor_ext.inference.prediction_writer import PredictionWriter
from braintumor_ext.inference.predictor import Predictor
from braintumor_ext.inference.processes import Processes, torchrun_processes
from braintumor_ext.inference.threads import ReadAheadLoader
from braintumor_ext.inference.tolerant_dataset import TolerantDataset, collate_slices

__all__ = [
    "Postprocessd",
    "Postprocessor",
    "PredictionWriter",
    "Predictor",
    "Processes",
    "ReadAheadLoader",
    "TolerantDataset",
    "class_probabilities",
    "collate_slices",
    "heat_map_on_grid",
    "inference_precision",
    "list_inputs",
    "mask_on_grid",
    "parse_slices",
    "torchrun_processes",
]
