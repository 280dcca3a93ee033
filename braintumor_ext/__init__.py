"""Brain-tumour MRI for MONAI: what a slice shows, where the tumour is, and why the model thinks so."""

__version__ = "0.1.0"
