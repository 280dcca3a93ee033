"""Exported networks: how they are made, checked and run in place of the eager one."""

from braintumor_ext.backends.backend import Backend
from braintumor_ext.backends.choice import (
    BACKENDS,
    EAGER,
    backend_named,
    check_explanation,
    choose_network,
    load_exported,
    usable_calibration,
    usable_explanation,
)
from braintumor_ext.backends.description import METADATA_KEY, Description, preprocessing_constants
from braintumor_ext.backends.export import LIMIT, Agreement, compare, export_network
from braintumor_ext.backends.exported_network import ExportedNetwork
from braintumor_ext.backends.freed_memory import keep_freed_memory
from braintumor_ext.backends.heads_and_features import INPUT, OUTPUTS, HeadsAndFeatures
from braintumor_ext.backends.int8 import Quantisation, export_int8

__all__ = [
    "BACKENDS",
    "EAGER",
    "INPUT",
    "LIMIT",
    "METADATA_KEY",
    "OUTPUTS",
    "Agreement",
    "Backend",
    "Description",
    "ExportedNetwork",
    "HeadsAndFeatures",
    "Quantisation",
    "backend_named",
    "check_explanation",
    "choose_network",
    "compare",
    "export_int8",
    "export_network",
    "keep_freed_memory",
    "load_exported",
    "preprocessing_constants",
    "usable_calibration",
    "usable_explanation",
]
