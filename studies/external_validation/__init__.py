"""How a checkpoint does on data from elsewhere."""

from studies.external_validation.external_validation import ExternalValidation, validate_images
from studies.external_validation.validation_report import write_sheet, write_validations

__all__ = ["ExternalValidation", "validate_images", "write_sheet", "write_validations"]
