"""Predictions as DICOM objects: a segmentation (SEG) and a structured report (SR) that refer to their images.

highdicom writes them; only those who ask for them need it.
"""

from braintumor_ext.errors import InputError

try:
    import highdicom as _highdicom  # noqa: F401
except ImportError as error:
    raise InputError("DICOM output", f"needs highdicom ({error})", "Install it: pip install highdicom") from error

from braintumor_ext.dicom_output.algorithm import Algorithm, read_algorithm, write_dicom
from braintumor_ext.dicom_output.report import prediction_report
from braintumor_ext.dicom_output.segmentation import tumour_segmentation
from braintumor_ext.dicom_output.sources import read_source, split_series

__all__ = [
    "Algorithm",
    "prediction_report",
    "read_algorithm",
    "read_source",
    "split_series",
    "tumour_segmentation",
    "write_dicom",
]
