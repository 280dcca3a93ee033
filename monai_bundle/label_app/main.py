"""Where MONAI Label looks for the app's class."""

from monai_bundle.label_app.app import BrainTumorLabelApp

__all__ = ["BrainTumorLabelApp"]
