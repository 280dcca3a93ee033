"""How a checkpoint does on data from elsewhere."""

from studies.external_validation.external_probe import ExternalProbe, probe_images
from studies.external_validation.probe_report import write_probes, write_sheet

__all__ = ["ExternalProbe", "probe_images", "write_probes", "write_sheet"]
