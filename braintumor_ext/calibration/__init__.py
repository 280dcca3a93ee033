"""Cautious predictions: calibrated probabilities, a flag for low confidence, and for inputs that are no brain MRI."""

from braintumor_ext.calibration.calibration import (
    CALIBRATION,
    LOW_CONFIDENCE,
    NOT_CALIBRATED,
    UNUSUAL_INPUT,
    Calibration,
    describe_calibration,
    read_calibration,
    set_stale_calibration_aside,
    write_calibration,
)
from braintumor_ext.calibration.calibrator import Calibrator, calibration_items
from braintumor_ext.calibration.constants import confidence_threshold, fit_temperature, scaled_probabilities
from braintumor_ext.calibration.measures import LabelledOutputs
from braintumor_ext.calibration.ood_detector import FeatureDetector
from braintumor_ext.calibration.precision_agreement import PrecisionAgreement
from braintumor_ext.calibration.probes import PROBE_KINDS, draw_probe, probe_items

__all__ = [
    "CALIBRATION",
    "LOW_CONFIDENCE",
    "NOT_CALIBRATED",
    "PROBE_KINDS",
    "UNUSUAL_INPUT",
    "Calibration",
    "Calibrator",
    "FeatureDetector",
    "LabelledOutputs",
    "PrecisionAgreement",
    "calibration_items",
    "confidence_threshold",
    "describe_calibration",
    "draw_probe",
    "fit_temperature",
    "probe_items",
    "read_calibration",
    "scaled_probabilities",
    "set_stale_calibration_aside",
    "write_calibration",
]
